//! Formats the tables as Markdown with aligned columns. PURE, except for the machine's name.

use std::fmt::Write as _;

use super::crowd;
use super::figures::{Cell, Spread};
use super::latency::{LatencyRound, SETTINGS};
use super::options::Options;
use super::peer::Peer;
use super::rest::Rest;
use super::rounds::Measured;
use super::storms::{Storm, StormRound};
use super::support::machine;
use super::workload::{Unit, WORKLOADS, Workload};

/// Formats the whole page.
pub(crate) fn render(options: &Options, measured: &Measured) -> String {
    let mut page = String::new();
    let proxies: Vec<Peer> = measured.peers.iter().copied().filter(|peer| *peer != Peer::Direct).collect();
    let (rounds, seconds) = (options.rounds, options.span.as_secs_f64());
    let mut say = |text: &str| {
        // Writing to a `String` does not fail.
        let _ = writeln!(page, "{text}");
    };
    say("# tlsramp beside its peers\n");
    say("Made by `cargo bench --bench peers`; see [README.md](README.md) for how to read it.\n");
    say(&format!("{}. Medians of {rounds} interleaved rounds of {seconds} s a cell.\n", machine::text()));
    say(
        "Processor time of the proxy's processes (user + system) for each unit of work; memory is proportional set size. Less is better.\n",
    );
    say(&grid(&main_table(options, measured, &proxies)));
    say(
        "`of best`: tlsramp's cost divided by that of the cheapest of the five peers, the median of the rounds' ratios (least to most); `of naive`: divided by that of the proxy of tokio, tokio-rustls and `copy_bidirectional`; `of best log`: by that of the cheaper of HAProxy and nginx with a log line for each connection in a file, which tlsramp always writes.\n",
    );
    for note in &measured.notes {
        say(&format!("- {note}"));
    }
    say(&floors(measured));
    if !measured.mongod.is_empty() {
        say(
            "## mongod's own TLS, and tlsramp before a mongod in plaintext\n\nProcessor time of mongod, and of mongod and tlsramp together.\n",
        );
        say(&grid(&mongod_table(measured)));
    }
    if !measured.latencies.is_empty() {
        say(
            "## Latency added to a request\n\n5,000 requests a second, open loop: p50 / p99 / p99.9 in microseconds, less those of a connection to the server without a proxy in the same round; medians of the rounds.\n",
        );
        say(&grid(&latency_table(measured, &proxies)));
    }
    if !measured.rests.is_empty() {
        say(
            "## Without clients\n\nFrom the start of the process until its ports accept connections; the proportional set size of its processes a second later; its program file, without shared libraries.\n",
        );
        say(&grid(&rest_table(measured, &proxies)));
    }
    if !measured.storms.is_empty() {
        say(&format!(
            "## Storms\n\nLatency of 32 established TLS clients with 2,000 requests a second (open loop), microseconds, p50 / p99; behind it, the ratio of the p99 to the quiet one (least to most). The proxy has one core and one worker; the clients of a storm run only while the measured clients and the server leave the other core to them. `quiet`: without a storm. `handshakes`: while 64 clients make full handshakes without pause, and how many they make in a second. `ClientHellos`: while 64 clients send a ClientHello, read the answer and reset the connection. `crowd`: while {} clients make full handshakes at the same time; `all in`: the seconds until each of these has an answer, and what this is in ratio to as many times the cost of a full handshake; `failed`: those without an answer, of all rounds.\n",
            crowd::CLIENTS
        ));
        say(&grid(&storms_table(measured, &proxies)));
    }
    say(
        "## The kernel's part\n\nSystem time of the costs above. `of best`: tlsramp's system time divided by the whole cost of the cheapest peer. Where this is above the goal, tlsramp could not meet the goal even if its user space cost nothing.\n",
    );
    say(&grid(&kernel_table(options, measured, &proxies)));
    say("## Spread of the costs, least to most\n");
    say(&grid(&table(options, measured, &proxies, |workload, peer| {
        measured.figures.cost(workload, peer).map(|cost| range(cost, digits(workload)))
    })));
    say(
        "## Throughput, and times of an operation\n\nOperations (bulk: GB) a second; p50 / p99. Load, proxy and server share the cores, so these depend on all three.\n",
    );
    say(&grid(&table(options, measured, &measured.peers, |workload, peer| {
        (workload.unit != Unit::Memory).then(|| throughput(measured, workload, peer)).flatten()
    })));
    say("## What each peer negotiates with a TLS 1.3 client\n");
    for (peer, agreed) in &measured.agreed {
        say(&format!("- {}: {agreed}", peer.title()));
    }
    page
}

/// Rows of cells. The first row is the header.
type Grid = Vec<Vec<String>>;

fn main_table(options: &Options, measured: &Measured, proxies: &[Peer]) -> Grid {
    let head = ["workload".to_owned()].into_iter().chain(proxies.iter().map(|peer| peer.title().to_owned()));
    let mut rows = vec![
        head.chain(["of best", "of naive", "goal", "met", "of best log", "goal", "met"].map(str::to_owned))
            .collect::<Vec<_>>(),
    ];
    for workload in &options.workloads {
        let figures = &measured.figures;
        let cost = |peer: &Peer| {
            let text = figures.cost(workload, *peer).map(|cost| number(cost.median, digits(workload)));
            text.unwrap_or_else(|| "-".into())
        };
        let mut row = vec![workload.title.to_owned()];
        row.extend(proxies.iter().map(cost));
        let beside = |among| {
            let best = figures.best(workload, proxies, among);
            best.and_then(|best| figures.ratio(workload, Peer::Tlsramp, best))
        };
        let shown = |ratio: Option<Spread>| {
            ratio.map_or("-".into(), |ratio| format!("{:.2} ({})", ratio.median, range(ratio, 2)))
        };
        let met = |ratio: Option<Spread>, goal: Option<f64>| match (ratio, goal) {
            (Some(ratio), Some(goal)) if ratio.median <= goal => "yes".to_owned(),
            (Some(_), Some(_)) => "no".to_owned(),
            (None, _) | (_, None) => "-".to_owned(),
        };
        let (ratio, beside_logs) = (beside(Peer::counts), beside(Peer::logs));
        let naive = figures.ratio(workload, Peer::Tlsramp, Peer::Naive);
        row.push(shown(ratio));
        row.push(naive.map_or("-".into(), |naive| format!("{:.2}", naive.median)));
        row.push(format!("<= {:.2}", workload.goal));
        row.push(met(ratio, Some(workload.goal)));
        row.push(shown(beside_logs));
        row.push(workload.goal_beside_logs.map_or("-".into(), |goal| format!("<= {goal:.2}")));
        row.push(met(beside_logs, workload.goal_beside_logs));
        rows.push(row);
    }
    rows
}

fn storms_table(measured: &Measured, proxies: &[Peer]) -> Grid {
    let head = ["", "quiet", "handshakes", "a second", "ClientHellos", "crowd", "all in, s", "of handshakes", "failed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let handshake = WORKLOADS.iter().find(|workload| workload.key == "full-handshake");
    for peer in proxies.iter().filter(|peer| !peer.logs()) {
        let latency = |storm| {
            let latency = StormRound::latency(&measured.storms, *peer, storm);
            latency.map_or("-".into(), |[p50, p99]| format!("{} / {}", number(p50, 0), number(p99, 0)))
        };
        let with_ratio = |storm| {
            let ratio = StormRound::ratio(&measured.storms, *peer, storm);
            let ratio = ratio.map_or(String::new(), |ratio| format!("; {:.1} ({})", ratio.median, range(ratio, 1)));
            latency(storm) + &ratio
        };
        let mut row = vec![peer.title().to_owned(), latency(Storm::Quiet)];
        row.push(with_ratio(Storm::Handshakes));
        let handshakes = StormRound::handshakes(&measured.storms, *peer);
        row.push(handshakes.map_or("-".into(), |rate| number(rate.median, 0)));
        row.extend([Storm::Hellos, Storm::Crowd].map(with_ratio));
        let crowd = StormRound::crowd(&measured.storms, *peer);
        let cost = handshake.and_then(|workload| measured.figures.cost(workload, *peer));
        let costs = crowd
            .zip(cost)
            .map(|((all_in, _), cost)| format!("{:.2}", all_in.median / (cost.median / 1e6 * crowd::CLIENTS as f64)));
        row.push(crowd.map_or("-".into(), |(all_in, _)| format!("{:.2} ({})", all_in.median, range(all_in, 2))));
        row.push(costs.unwrap_or_else(|| "-".into()));
        row.push(crowd.map_or("-".into(), |(_, failed)| failed.to_string()));
        rows.push(row);
    }
    rows
}

fn latency_table(measured: &Measured, proxies: &[Peer]) -> Grid {
    let proxies: Vec<Peer> = proxies.iter().copied().filter(|peer| !peer.logs()).collect();
    let head = ["connections".to_owned()].into_iter().chain(proxies.iter().map(|peer| peer.title().to_owned()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for setting in SETTINGS {
        let title = format!("{} {}", setting.connections, if setting.tls { "TLS" } else { "plaintext" });
        let cells = proxies.iter().map(|peer| {
            let added = LatencyRound::added(&measured.latencies, *peer, setting);
            added.map_or("-".into(), |added| added.map(|one| format!("{:.0}", one.median)).join(" / "))
        });
        rows.push([title].into_iter().chain(cells).collect());
    }
    rows
}

fn rest_table(measured: &Measured, proxies: &[Peer]) -> Grid {
    let mut rows = vec![["", "listening, ms", "memory, MB", "program, MB"].map(str::to_owned).to_vec()];
    for peer in proxies.iter().filter(|peer| !peer.logs()) {
        let Some(rest) = Rest::of(&measured.rests, *peer) else { continue };
        let figures = rest.map(|one| format!("{:.1} ({})", one.median, range(one, 1)));
        rows.push([peer.title().to_owned()].into_iter().chain(figures).collect());
    }
    rows
}

fn table(
    options: &Options,
    measured: &Measured,
    peers: &[Peer],
    cell: impl Fn(&Workload, Peer) -> Option<String>,
) -> Grid {
    let head = ["workload".to_owned()].into_iter().chain(peers.iter().map(|peer| peer.title().to_owned()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for workload in &options.workloads {
        let cells: Vec<Option<String>> = peers.iter().map(|peer| cell(workload, *peer)).collect();
        if cells.iter().any(Option::is_some) {
            let title = if workload.unit == Unit::Memory { workload.title } else { workload.key }.to_owned();
            let texts = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into()));
            rows.push([title].into_iter().chain(texts).collect());
        }
    }
    debug_assert!(!measured.peers.is_empty());
    rows
}

fn kernel_table(options: &Options, measured: &Measured, proxies: &[Peer]) -> Grid {
    let figures = &measured.figures;
    let system = |workload: &Workload, peer: Peer| figures.system(workload, peer).map(|cost| cost.median);
    let mut rows = table(options, measured, proxies, |workload, peer| {
        system(workload, peer).map(|cost| number(cost, digits(workload)))
    });
    for row in &mut rows {
        let workload = options.workloads.iter().find(|workload| workload.key == row[0]);
        let [ratio, goal] = workload.map_or(["of best".to_owned(), "goal".to_owned()], |workload| {
            let best = figures.best(workload, proxies, Peer::counts).and_then(|best| figures.cost(workload, best));
            let ratio = system(workload, Peer::Tlsramp).zip(best).map(|(system, best)| system / best.median);
            [ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")), format!("<= {:.2}", workload.goal)]
        });
        row.extend([ratio, goal]);
    }
    rows
}

fn throughput(measured: &Measured, workload: &Workload, peer: Peer) -> Option<String> {
    let of = |property: fn(&Cell) -> f64| measured.figures.spread(workload, peer, |cell| Some(property(cell)));
    let (throughput, p50, p99) = (of(|cell| cell.throughput)?, of(|cell| cell.p50)?, of(|cell| cell.p99)?);
    let digits = if workload.unit == Unit::Gigabyte { 2 } else { 0 };
    Some(format!("{:.digits$}; {} / {}", throughput.median, time(p50.median), time(p99.median)))
}

/// The cost of the cryptography alone, and how far tlsramp's costs exceed it.
fn floors(measured: &Measured) -> String {
    let of = |property: fn(&super::floor::Floor) -> f64| Spread::over(measured.floors.iter().map(property));
    let rows = [
        ("full handshake, us", "full-handshake", of(|floor| floor.full_handshake), 0),
        ("resumed handshake, us", "resumed-handshake", of(|floor| floor.resumed_handshake), 0),
        ("bytes sealed, s/GB", "tls-bulk", of(|floor| floor.seal), 2),
        ("bytes opened, s/GB", "", of(|floor| floor.open), 2),
    ];
    let mut table = vec![["cryptography alone", "floor", "spread", "tlsramp", "of floor"].map(str::to_owned).to_vec()];
    for (title, key, floor, digits) in rows {
        let Some(floor) = floor else { continue };
        let workload = WORKLOADS.iter().find(|workload| workload.key == key);
        let cost = workload.and_then(|workload| measured.figures.cost(workload, Peer::Tlsramp)).map(|cost| cost.median);
        let times = cost.map_or("-".into(), |cost| format!("{:.2}", cost / floor.median));
        let cost = cost.map_or("-".into(), |cost| number(cost, digits));
        table.push(vec![title.into(), number(floor.median, digits), range(floor, digits), cost, times]);
    }
    let above = "\n## The floor\n\nThe server's side of a handshake by rustls in memory (TLS 1.3, X25519, TLS_AES_128_GCM_SHA256, one ticket), and AES-128-GCM over full records: no sockets, no relay. A TLS relay seals what goes one way and opens what goes the other.\n";
    format!("{above}\n{}", grid(&table))
}

fn mongod_table(measured: &Measured) -> Grid {
    let head = ["workload", "mongod, plaintext", "mongod, its own TLS", "mongod + tlsramp", "of its own TLS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for row in &measured.mongod {
        let text = |cost: Option<Spread>| {
            cost.map_or("-".to_owned(), |cost| format!("{} ({})", number(cost.median, 1), range(cost, 1)))
        };
        let ratio = row.own.zip(row.both).map_or("-".into(), |(own, both)| format!("{:.2}", both.median / own.median));
        rows.push(vec![row.title.to_owned(), text(row.plaintext), text(row.own), text(row.both), ratio]);
    }
    rows
}

/// Formats the rows with aligned columns.
fn grid(rows: &Grid) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!(" {cell:<width$} ") } else { format!(" {cell:>width$} ") }
        });
        text += &format!("|{}|\n", cells.collect::<Vec<_>>().join("|"));
        if number == 0 {
            let lines = widths.iter().enumerate().map(|(column, width)| {
                if column == 0 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) }
            });
            text += &format!("|{}|\n", lines.collect::<Vec<_>>().join("|"));
        }
    }
    text
}

fn digits(workload: &Workload) -> usize {
    match workload.unit {
        Unit::Operation | Unit::Memory => 1,
        Unit::Gigabyte => 2,
    }
}

fn number(value: f64, digits: usize) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.digits$}") }
}

fn range(spread: Spread, digits: usize) -> String {
    format!("{}-{}", number(spread.least, digits), number(spread.most, digits))
}

fn time(micros: f64) -> String {
    if micros < 1e3 { format!("{micros:.0} us") } else { format!("{:.1} ms", micros / 1e3) }
}
