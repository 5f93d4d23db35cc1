//! Whether a connection that the output chain redirects gets through: filter rules of the output hook see it with its new
//! address and port, but still with the interface by which it would have left the host, so that a rule which lets the
//! loopback interface pass does not let it pass; then those of the input hook see it come in by the loopback interface.

use super::judge::{Left, Seen, seen};
use super::packet::{Packet, Path};
use super::ruleset::{Chain, Ruleset};

/// The base chains that drop it. `out` is its path in the output hook.
pub(super) fn dropped_by(ruleset: &Ruleset, original: u16, port: u16, out: Path) -> Vec<&Chain> {
    let drops = |chain: &&Chain| {
        // The canary is of IPv4.
        if out == Path::OutCanary && chain.name.0.starts_with("ip6") {
            return false;
        }
        let Some(base) = chain.base.as_ref().filter(|base| base.kind == "filter") else { return false };
        let path = match base.hook.as_str() {
            // By then the address is the new one.
            "output" if base.priority > DSTNAT => out,
            "input" => Path::InByLoopback,
            _ => return false,
        };
        match walk(chain, Packet { port, original, path }, ruleset, DEEPEST) {
            End::Accepted => false,
            End::Dropped => true,
            End::Through => base.drops,
        }
    };
    ruleset.chains.values().filter(drops).collect()
}

/// How a chain ends for the packet, as far as it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    /// No rule decided.
    Through,
}

fn walk(chain: &Chain, packet: Packet, ruleset: &Ruleset, depth: usize) -> End {
    for rule in &chain.rules {
        // What only some of these packets meet is no way through, and no reason why none should be.
        let Some(left) = certain(seen(rule, &chain.name, packet, ruleset)) else { continue };
        let target = left.target().and_then(|target| ruleset.beside(&chain.name, target));
        let end = target.filter(|_| depth > 0).map(|target| walk(target, packet, ruleset, depth - 1));
        match (left.verdict(), end) {
            (Some("accept" | "queue"), _) => return End::Accepted,
            (Some("drop" | "reject"), _) => return End::Dropped,
            (Some("return"), _) => return End::Through,
            (Some("goto"), end) => return end.unwrap_or(End::Through),
            (_, Some(End::Through) | None) => {}
            (_, Some(end)) => return end,
        }
    }
    End::Through
}

fn certain(seen: Seen) -> Option<Left> {
    match seen {
        Seen::May(left) if left.certain => Some(left),
        Seen::May(_) | Seen::Never | Seen::Unclear => None,
    }
}

/// The priority of address translation in the output hook.
const DSTNAT: i64 = -100;
/// The kernel's own bound on chains that lead to chains.
const DEEPEST: usize = 16;
