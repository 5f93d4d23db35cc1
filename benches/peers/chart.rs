//! Draws the ratios as an SVG: a group of bars for each workload. The line at 1 marks the cost of the best peer. PURE.

use super::figures::Figures;
use super::peer::Peer;
use super::rounds::Measured;
use super::workload::{WORKLOADS, Workload};

/// Draws a picture that is readable on light and dark pages.
pub(crate) fn render(measured: &Measured) -> String {
    let proxies: Vec<Peer> =
        measured.peers.iter().copied().filter(|peer| *peer != Peer::Direct && !peer.logs()).collect();
    let (mut body, mut top) = (legend(&proxies), TOP);
    for workload in &WORKLOADS {
        let bars = bars(&measured.figures, workload, &proxies);
        if bars.is_empty() {
            continue;
        }
        let middle = top + bars.len() as f64 * BAR / 2.0 + 4.0;
        body +=
            &format!("<text x=\"{}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\n", LEFT - 8.0, workload.title);
        for (peer, ratio, cost) in bars {
            body += &bar(peer, ratio, &cost, top);
            top += BAR;
        }
        top += GAP;
    }
    let (one, bottom) = (LEFT + UNIT, top - GAP + 4.0);
    body += &format!("<line x1=\"{one}\" y1=\"{}\" x2=\"{one}\" y2=\"{bottom:.0}\" class=\"one\"/>\n", TOP - 6.0);
    body += &format!(
        "<text x=\"{one}\" y=\"{:.0}\" text-anchor=\"middle\" class=\"small\">best peer = 1</text>\n",
        bottom + 12.0
    );
    let height = bottom + 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"Cost of tlsramp and its peers, the best peer as 1\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// The length of each bar, and its label.
fn bars(figures: &Figures, workload: &Workload, proxies: &[Peer]) -> Vec<(Peer, f64, String)> {
    let best = figures.best(workload, proxies, Peer::counts).and_then(|best| figures.cost(workload, best));
    let Some(best) = best.filter(|best| best.median > 0.0) else { return Vec::new() };
    let bar = |peer: &Peer| {
        let cost = figures.cost(workload, *peer)?.median;
        let text = if cost < 10.0 { format!("{cost:.2}") } else { format!("{cost:.0}") };
        Some((*peer, cost / best.median, text))
    };
    proxies.iter().filter_map(bar).collect()
}

fn bar(peer: Peer, ratio: f64, cost: &str, top: f64) -> String {
    let width = ratio.min(MOST) * UNIT;
    let more = if ratio > MOST { " &#8594;" } else { "" };
    let (thick, colour) = (BAR - 1.5, colour(peer));
    let label = format!(
        "<text x=\"{:.0}\" y=\"{:.1}\" class=\"small\">{cost}{more}</text>",
        LEFT + width + 4.0,
        top + BAR - 2.5
    );
    format!("<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{thick}\" fill=\"{colour}\"/>{label}\n")
}

fn legend(proxies: &[Peer]) -> String {
    let (mut text, mut left) = (String::new(), LEFT - 130.0);
    for peer in proxies {
        text += &format!("<rect x=\"{left}\" y=\"8\" width=\"10\" height=\"10\" fill=\"{}\"/>", colour(*peer));
        text += &format!("<text x=\"{}\" y=\"17\">{}</text>\n", left + 14.0, peer.title());
        left += 32.0 + 7.0 * peer.title().len() as f64;
    }
    text
}

/// Colours of medium lightness, readable on white and on black.
fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::Tlsramp => "#e8590c",
        Peer::Haproxy | Peer::HaproxyLog => "#4c6ef5",
        Peer::Nginx | Peer::NginxLog => "#2f9e44",
        Peer::Envoy => "#ae3ec9",
        Peer::Hitch => "#1098ad",
        Peer::Stunnel => "#a08020",
        Peer::Naive | Peer::Direct => "#868e96",
    }
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 230.0;
const TOP: f64 = 36.0;
const BAR: f64 = 10.0;
const GAP: f64 = 12.0;
/// The length of a bar of ratio 1.
const UNIT: f64 = 220.0;
/// Bars of larger ratios are cut, with an arrow.
const MOST: f64 = 2.6;
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#333}.small{font-size:10px}\
    .one{stroke:#888;stroke-dasharray:3 3}@media(prefers-color-scheme:dark){text{fill:#ddd}}";
