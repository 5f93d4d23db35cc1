//! Runs a subcommand: request, output, exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ArgMatches;
use tokio::runtime::Builder;

use super::command::{ADMIN, JSON, WIDE};
use super::output::{CtlOutput, GUARDED, NO, UNREACHED, USAGE};
use super::verb::Verb;
use super::{changes, clients, connections, doctor, guard, history, lookup, refusal};
use crate::admin_client::{AdminAddress, AdminClient, ClientError, ctl_command, tls_options};
use crate::screen::{OutputStyle, Page};
use crate::telemetry::now_millis;

/// Sends the request and prints the reply. Exit codes: 0 done, 1 refused or negative, 2 usage, 3 refused by the guard,
/// 4 no tlsramp reached.
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let (Some(verb), Some(address)) = (Verb::of(arguments), arguments.get_one::<AdminAddress>(ADMIN)) else {
        // Unreachable: clap has checked both.
        return ExitCode::from(USAGE);
    };
    let options = tls_options(arguments);
    let material = match options.load(address) {
        Ok(material) => material,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(USAGE);
        }
    };
    let called = ctl_command(address, &options);
    let client = AdminClient::new(address.clone(), material);
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error);
            return ExitCode::from(NO);
        }
    };
    let output = runtime.block_on(ask(&verb, &client, &called, arguments.get_flag(WIDE)));
    // Does not wait for a thread that may still be resolving a name.
    runtime.shutdown_background();
    ExitCode::from(show(output, arguments.get_flag(JSON), arguments.get_flag(WIDE)))
}

async fn ask(verb: &Verb, client: &AdminClient, called: &str, wide: bool) -> Result<CtlOutput, ClientError> {
    let now = now_millis();
    Ok(match verb {
        Verb::Status => lookup::status(client, wide, now).await?,
        Verb::Mode => {
            CtlOutput::new(client.status().await?, |status| Page::saying(crate::text::escaped(&status.ssl_mode)))
        }
        Verb::ChangeMode(change) => guard::change(client, change, called, wide, now).await?,
        Verb::Ready(to) => lookup::ready(client, *to, called, now).await?,
        Verb::Clients { plaintext } => {
            CtlOutput::new(client.clients(*plaintext).await?, |seen| clients::page(seen, *plaintext, now))
        }
        Verb::Accept { client: target, accepted, unseen } => lookup::accept(client, target, *accepted, *unseen).await?,
        Verb::Connections { non_conforming, each } => {
            CtlOutput::new(client.connections(*non_conforming).await?, |open| {
                connections::page(open, *non_conforming, *each)
            })
        }
        Verb::Whois(target) => lookup::whois(client, *target).await?,
        Verb::History => CtlOutput::new(client.history().await?, history::page),
        Verb::Doctor => {
            let answer = client.doctor().await?;
            let failed = doctor::has_failed(&answer.value);
            CtlOutput::new(answer, doctor::page).no_if(failed)
        }
        Verb::Rotate { force } => CtlOutput::new(client.rotate(*force).await?, changes::rotate),
        Verb::Recycle(recycle) => {
            let answer = client.recycle(recycle).await?;
            let left = changes::is_left(&answer.value);
            CtlOutput::new(answer, changes::recycle).no_if(left)
        }
        Verb::Reload { force } => CtlOutput::new(client.reload(*force).await?, changes::reload),
    })
}

/// Prints the output and returns the exit code.
fn show(output: Result<CtlOutput, ClientError>, as_json: bool, wide: bool) -> u8 {
    let (page, json, exit, notice) = match output {
        Ok(output) => (output.page, output.json, output.exit, output.notice),
        Err(error) => {
            let page = refusal::page(&error, now_millis());
            let exit = match error.reply() {
                Some(reply) if reply.is_guarded() => GUARDED,
                Some(_) => NO,
                None => UNREACHED,
            };
            let _ = io::stderr().write_all(page.render(OutputStyle::of(&io::stderr(), wide)).as_bytes());
            (Page::default(), refusal::json(&error), exit, None)
        }
    };
    if let Some(notice) = notice {
        print_error(&notice);
    }
    let text =
        if as_json { json.trim_end().to_owned() + "\n" } else { page.render(OutputStyle::of(&io::stdout(), wide)) };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A broken pipe is no error: the reader may stop early, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("cannot print the answer: {error}"));
            exit.max(NO)
        }
        _ => exit,
    }
}

/// Prints an error; a closed stream is ignored.
fn print_error(why: &dyn std::fmt::Display) {
    let style = OutputStyle::of(&io::stderr(), false);
    let _ = io::stderr().write_all(Page::saying(format!("tlsramp ctl: {why}")).render(style).as_bytes());
}
