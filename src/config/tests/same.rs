//! Tests that flags, YAML and `key = value` lines give equal settings.

use super::{Form, OptionSpec, Settings, TABLE, ValueKind, good};
use crate::config::options::OptionKey;
use crate::tls::{Password, Secret};

/// A value of each option that differs from the default and is valid together with the others.
fn sample(opt: &OptionSpec) -> &'static [&'static str] {
    match opt.flags[0] {
        "port" => &["27999"],
        "bind_ip" => &["localhost,::1"],
        "inboundTLS" => &["passthrough"],
        "upstream" => &["db1:27017"],
        "upstreamTLS" => &["always"],
        "upstreamBind" => &["10.0.0.9"],
        "outbound" => &["127.0.0.1:5=db1:1", "[::1]:6=db2:1,name=two"],
        "outboundTransparent" => &["27018"],
        "member" => &["db1:27017", "db2:27017=10.0.0.2"],
        "memberReserve" => &["7"],
        "sslMode" => &["preferSSL"],
        "sslDisabledProtocols" => &["TLS1_2"],
        "maxIncomingConnections" | "maxConnectionsPerIp" => &["500"],
        "workers" => &["3"],
        "sniffTimeout" => &["1500ms"],
        "handshakeTimeout" => &["3"],
        "connectTimeout" => &["2m"],
        "drainTimeout" => &["0"],
        "onSilence" | "refusal" => &["close"],
        "logFormat" => &["json"],
        "logLevel" => &["debug"],
        "upstreamProbe" | "watch" => &["off"],
        "adminBind" => &["127.0.0.1:9", "unix:/run/tlsramp.sock"],
        "adminAllow" => &["CN=ops,*", "DNS:ops"],
        "adminHost" => &["ops.example.net"],
        "adminLink" => &["https://db2.example.net:28017/"],
        "probeBind" => &["0.0.0.0:10"],
        "guardWindow" => &["48h"],
        "stateFile" => &["/tmp/tlsramp.state"],
        "takeover" => &["/run/tlsramp/takeover.sock"],
        _ if opt.kind == ValueKind::Switch => &["true"],
        _ if opt.is_secret() => &["pass # word"],
        _ => &["/etc/ssl/a.pem"],
    }
}

/// The value in one of the option's spellings: the names of the modes differ between the two.
fn value(name: &str, value: &str) -> String {
    if name.contains("tls") { value.replace("preferSSL", "preferTLS") } else { value.to_owned() }
}

fn all_as(form: Form, variant: usize) -> Settings {
    let mut lines = Vec::new();
    let mut args = Vec::new();
    // A password and its file cannot both be given.
    let both = [OptionKey::CertificatePasswordFile, OptionKey::ClusterPasswordFile];
    for opt in TABLE.iter().filter(|opt| !both.contains(&opt.key)) {
        let name = opt.written(form, if opt.flags.len() > 1 { variant % opt.flags.len() } else { 0 });
        let values = sample(opt).iter().map(|text| value(&name, text)).collect::<Vec<_>>();
        match (form, opt.kind) {
            (Form::Flag, _) => args.extend(values.iter().map(|value| format!("{name}={value}"))),
            (Form::Pairs, _) => {
                lines.extend(values.iter().map(|value| format!("{name} = {}", value.replace(" #", "#"))))
            }
            (Form::Yaml, ValueKind::List(_)) => lines.push(format!("{name}: ['{}']", values.join("', '"))),
            (Form::Yaml, ValueKind::Value(_) | ValueKind::Secret(_)) if values[0].contains([' ', ',']) => {
                lines.push(format!("{name}: '{}'", values[0]));
            }
            (Form::Yaml, _) => lines.push(format!("{name}: {}", values[0])),
        }
    }
    let args = args.iter().map(String::as_str).collect::<Vec<_>>();
    let mut settings = good(&args, &lines.join("\n"));
    settings.file = None;
    settings.spelling = crate::policy::Spelling::Ssl;
    if form == Form::Pairs {
        // The only sample that `key = value` lines cannot express: text after ` #` is a comment.
        for secret in [&mut settings.tls.certificate_key_password, &mut settings.tls.cluster_password] {
            assert_eq!(*secret, Some(Password::Given(Secret("pass# word".to_owned()))));
            *secret = Some(Password::Given(Secret("pass # word".to_owned())));
        }
    }
    settings
}

#[test]
fn every_option_in_every_form_and_spelling() {
    let expected = all_as(Form::Flag, 0);
    for form in [Form::Flag, Form::Yaml, Form::Pairs] {
        for variant in 0..4 {
            assert_eq!(all_as(form, variant), expected, "{form:?} {variant}");
        }
    }
}

#[test]
fn every_option_makes_a_difference() {
    let base =
        &["--upstream=10.0.0.1:1", "--sslCAFile=c", "--sslPEMKeyFile=k", "--sslClusterFile=l", "--upstreamTLS=never"];
    let plain = good(base, "");
    for opt in TABLE {
        let text = sample(opt)[0];
        let written = format!("--{}={text}", opt.flags[0]);
        let without = format!("--{}=", opt.flags[0]);
        let args =
            base.iter().copied().filter(|arg| !arg.starts_with(&without)).chain([written.as_str()]).collect::<Vec<_>>();
        assert_ne!(good(&args, ""), plain, "{written}");
    }
}
