//! The program: everything is in the library, so that the packages' man pages can be made from the same command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tlsramp::command_line::run(std::env::args_os())
}
