//! Name resolution, as this host does it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding};
use crate::limits::{DOCTOR_DIAL, DOCTOR_LOOKUP_SLOW};
use crate::net::{HostPort, Resolver};
use crate::text::printable;

#[derive(Debug, Clone)]
pub(super) struct NameAnswer {
    pub(super) name: HostPort,
    pub(super) addresses: Result<Vec<IpAddr>, String>,
    took: Duration,
}

/// Resolves all names concurrently; IP addresses are left out.
pub(super) async fn resolve(names: impl Iterator<Item = HostPort>) -> Vec<NameAnswer> {
    let mut queries = JoinSet::new();
    for name in names.filter(|name| name.ip().is_none()) {
        queries.spawn(async move {
            let asked = Instant::now();
            // Not a shared resolver, since those cache their answers.
            let answer = Resolver::new(name.clone()).addresses(DOCTOR_DIAL).await;
            let addresses = answer.map(|all| all.iter().map(|address| address.ip().to_canonical()).collect());
            NameAnswer { name, addresses: addresses.map_err(|error| error.to_string()), took: asked.elapsed() }
        });
    }
    queries.join_all().await
}

/// Judges an answer; `known` are the addresses that are in use.
pub(super) fn finding(answer: &NameAnswer, known: &[IpAddr]) -> DoctorFinding {
    let NameAnswer { name, addresses, took } = answer;
    let subject = printable(&name.host);
    let list = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let bad = |verdict, text, remedy: String| DoctorFinding::bad(DoctorCheck::Names, &subject, verdict, text, remedy);
    match addresses {
        Err(error) => bad(
            CheckVerdict::Failed,
            format!("it does not resolve on this host: {}", printable(error)),
            format!("correct DNS or /etc/hosts on this host (`getent hosts {subject}`)"),
        ),
        Ok(now) if !known.is_empty() && !known.iter().any(|ip| now.contains(&ip.to_canonical())) => bad(
            CheckVerdict::Warning,
            format!("it resolves to {} now, but connections go to {}", list(now), list(known)),
            format!("if {} is right, do nothing; otherwise correct DNS or --member", list(now)),
        ),
        Ok(now) if *took > DOCTOR_LOOKUP_SLOW => bad(
            CheckVerdict::Warning,
            format!("it resolves to {}, in {} ms", list(now), took.as_millis()),
            "check that all name servers in /etc/resolv.conf answer".into(),
        ),
        Ok(now) => {
            DoctorFinding::ok(DoctorCheck::Names, &subject, format!("{}, in {} ms", list(now), took.as_millis()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{NameAnswer, finding};
    use crate::control::doctor::finding::CheckVerdict::{self, Failed, Ok as Fine, Warning};

    /// Answer, milliseconds, addresses in use; verdict, part of the text.
    type Row =
        (Result<&'static [&'static str], &'static str>, u64, &'static [&'static str], CheckVerdict, &'static str);

    #[test]
    fn answers_are_judged() {
        let rows: [Row; 6] = [
            (Ok(&["10.0.0.1"]), 2, &["10.0.0.1"], Fine, "10.0.0.1, in 2 ms"),
            (Ok(&["10.0.0.1", "10.0.0.2"]), 2, &["10.0.0.2"], Fine, "10.0.0.1, 10.0.0.2"),
            (Ok(&["10.0.0.1"]), 2, &[], Fine, "10.0.0.1"),
            (Ok(&["10.0.0.1"]), 2, &["10.0.0.9"], Warning, "connections go to 10.0.0.9"),
            (Ok(&["10.0.0.1"]), 1001, &["10.0.0.1"], Warning, "in 1001 ms"),
            (Err("no such host\n"), 2, &["10.0.0.1"], Failed, "no such host\\n"),
        ];
        for (addresses, took, known, verdict, text) in rows {
            let parse = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>();
            let answer = NameAnswer {
                name: "db1:27017".parse().unwrap(),
                addresses: addresses.map(parse).map_err(str::to_owned),
                took: Duration::from_millis(took),
            };
            let found = finding(&answer, &parse(known));
            assert_eq!(found.verdict, verdict, "{found:?}");
            assert!(found.text.contains(text) && found.remedy.is_some() == (verdict != Fine), "{found:?}");
        }
    }
}
