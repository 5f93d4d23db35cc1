//! The plan of events, computed from a seed alone: the same seed gives the same plan.

use std::fmt;

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Plaintext,
    Tls12,
    Tls13,
}

/// Where a connection waits while the operator acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Connected, without having sent a byte.
    Silent,
    /// Half of a `ClientHello` was sent.
    HalfHello,
    /// The server's flight was received, and the client's second flight was not sent.
    Handshake,
    /// Accepted, while the server does not answer the dial.
    Dial,
    /// Not connected yet: it connects at some moment during the action.
    Racing,
    Idle,
    /// Bytes of the client wait for a server that does not read.
    StuckUp,
    /// Bytes of the server wait for a client that does not read.
    StuckDown,
    StuckBoth,
    /// The client has closed its sending direction.
    ClientEnded,
    /// The server has closed its sending direction.
    ServerEnded,
}

/// What happens to a connection after the operator has acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Event {
    /// All bytes arrive, and the client ends the connection.
    GoOn,
    ClientEnds,
    ServerEnds,
    ClientResets,
    ServerResets,
}

/// The operator's action in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Action {
    Nothing,
    Mode,
    /// The proxy's own certificate is replaced.
    Rotate,
    /// The configuration file names another mode.
    Reload,
    /// The mode changes, and connections that it would not accept are recycled.
    Recycle,
    /// One holder has the lease, and another requests a mode.
    Lease,
    /// A new CRL contains the client's certificate.
    Revoke,
    /// The client's certificate expires.
    Expire,
    /// SIGTERM.
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Mode {
    Disabled,
    Allow,
    Prefer,
    Require,
}

/// One connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// A unique number, by which the server recognizes the connection.
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    pub(super) event: Event,
    /// Presents the certificate that is revoked or expires in this round.
    pub(super) doomed: bool,
    /// Sends MongoDB messages, so that it can be recycled between two of them.
    pub(super) messages: bool,
    /// When a racing connection starts.
    pub(super) delay_ms: u64,
}

#[derive(Debug)]
pub(super) struct Round {
    pub(super) action: Action,
    /// The mode before the action, which accepts both kinds of clients.
    pub(super) from: Mode,
    /// The mode after the action.
    pub(super) to: Mode,
    /// The server accepts connections but stalls in its TLS handshake.
    pub(super) server_stalls_in_tls: bool,
    pub(super) parts: Vec<Part>,
}

impl Round {
    /// Whether the mode after the action would make this connection as the mode before has made it.
    pub(super) fn would_make(&self, part: &Part) -> bool {
        // A TLS link is not replaced if plaintext would be enough.
        self.to.admits(part.kind) && (self.from.links_by_tls() || !self.to.links_by_tls())
    }
}

impl Mode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Mode::Disabled => "disabled",
            Mode::Allow => "allowSSL",
            Mode::Prefer => "preferSSL",
            Mode::Require => "requireSSL",
        }
    }

    pub(super) fn admits(self, kind: Kind) -> bool {
        if kind == Kind::Plaintext { self != Mode::Require } else { self != Mode::Disabled }
    }

    /// Whether the link to the server uses TLS.
    pub(super) fn links_by_tls(self) -> bool {
        matches!(self, Mode::Prefer | Mode::Require)
    }
}

impl Phase {
    pub(super) const ALL: [Phase; 11] = [
        Phase::Silent,
        Phase::HalfHello,
        Phase::Handshake,
        Phase::Dial,
        Phase::Racing,
        Phase::Idle,
        Phase::StuckUp,
        Phase::StuckDown,
        Phase::StuckBoth,
        Phase::ClientEnded,
        Phase::ServerEnded,
    ];

    /// Whether the connection is established before the operator acts.
    pub(super) fn is_established(self) -> bool {
        self >= Phase::Idle
    }

    fn is_of(self, kind: Kind) -> bool {
        match self {
            Phase::HalfHello | Phase::Handshake => kind != Kind::Plaintext,
            // Most TLS libraries do not allow a client to half-close.
            Phase::ClientEnded => kind == Kind::Plaintext,
            Phase::Silent
            | Phase::Dial
            | Phase::Racing
            | Phase::Idle
            | Phase::StuckUp
            | Phase::StuckDown
            | Phase::StuckBoth
            | Phase::ServerEnded => true,
        }
    }

    fn events(self) -> Vec<Event> {
        use Event::{ClientEnds, ClientResets, GoOn, ServerEnds, ServerResets};
        if !self.is_established() {
            return vec![GoOn, ClientEnds, ClientResets];
        }
        let mut events = vec![GoOn, ClientEnds, ServerEnds, ClientResets, ServerResets];
        events.retain(|event| match self {
            Phase::ClientEnded => *event != ClientEnds,
            Phase::ServerEnded => *event != ServerEnds,
            Phase::Silent
            | Phase::HalfHello
            | Phase::Handshake
            | Phase::Dial
            | Phase::Racing
            | Phase::Idle
            | Phase::StuckUp
            | Phase::StuckDown
            | Phase::StuckBoth => true,
        });
        events
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { number, kind, phase, event, doomed, messages, .. } = self;
        write!(f, "connection {number} ({kind:?}, {phase:?}, {event:?}")?;
        write!(f, "{}{})", if *doomed { ", doomed" } else { "" }, if *messages { ", messages" } else { "" })
    }
}

/// Every combination of kind, phase and event, once.
pub(super) fn whole_table() -> Vec<(Kind, Phase, Event)> {
    let mut table = Vec::new();
    for phase in Phase::ALL {
        for kind in [Kind::Plaintext, Kind::Tls12, Kind::Tls13].into_iter().filter(|kind| phase.is_of(*kind)) {
            table.extend(phase.events().into_iter().map(|event| (kind, phase, event)));
        }
    }
    table
}

/// Every action twice in random order, and the stop at the end; the table of combinations is distributed over them
/// three times.
pub(super) fn of(seed: u64) -> Vec<Round> {
    let mut random = Random(seed);
    let actions = [
        Action::Nothing,
        Action::Mode,
        Action::Rotate,
        Action::Reload,
        Action::Recycle,
        Action::Lease,
        Action::Revoke,
        Action::Expire,
    ];
    // The first round of every action receives combinations before any second round, so that each action meets every
    // phase.
    let all = [&actions[..], &[Action::Drain], &actions].concat();
    let mut rounds: Vec<_> = all.into_iter().map(|action| round(action, &mut random)).collect();
    let mut number = 0;
    let mut next = [0; Phase::ALL.len()];
    for _ in 0..3 {
        let mut table = whole_table();
        random.shuffle(&mut table);
        for (kind, phase, event) in table {
            number += 1;
            let next = &mut next[phase as usize];
            // A client that connects while the listeners close may be refused or not.
            if (rounds[*next].action, phase) == (Action::Drain, Phase::Racing) {
                *next += 1;
            }
            let round = &mut rounds[*next];
            *next = (*next + 1) % ROUNDS;
            let ends_identities = matches!(round.action, Action::Revoke | Action::Expire);
            // A certificate that was verified before its expiry counts as verified, even if the dial takes longer.
            let verified = round.action == Action::Expire && phase >= Phase::Dial;
            let messages = phase == Phase::Idle && round.action != Action::Drain && random.below(2) == 0;
            round.parts.push(Part {
                number,
                kind,
                phase,
                event,
                doomed: ends_identities && kind != Kind::Plaintext && !verified && random.below(3) > 0,
                messages,
                delay_ms: random.below(20),
            });
        }
    }
    random.shuffle(&mut rounds);
    // Nothing follows the stop.
    rounds.sort_by_key(|round| round.action == Action::Drain);
    rounds
}

fn round(action: Action, random: &mut Random) -> Round {
    // A configuration file cannot force a step: of the steps that it can request, this one makes no new kind of link.
    let from = if action == Action::Reload { Mode::Prefer } else { *random.pick(&[Mode::Allow, Mode::Prefer]) };
    let to = match action {
        Action::Mode | Action::Recycle | Action::Lease => {
            *random.pick(&[Mode::Disabled, Mode::Allow, Mode::Prefer, Mode::Require, Mode::Require])
        }
        Action::Reload => Mode::Require,
        Action::Nothing | Action::Rotate | Action::Revoke | Action::Expire | Action::Drain => from,
    };
    let server_stalls_in_tls = from.links_by_tls() && random.below(2) == 0;
    Round { action, from, to, server_stalls_in_tls, parts: Vec::new() }
}

/// All actions twice, and the stop.
const ROUNDS: usize = 17;

/// SplitMix64, the only source of randomness of a plan.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let bound = of.len() as u64;
        &of[usize::try_from(self.below(bound)).unwrap()]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}
