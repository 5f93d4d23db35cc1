//! `deploy/monitoring/`: the alert rules and the dashboard use metrics, labels and label values that a proxy exposes, and
//! the rules pass Prometheus' own checks and their unit tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tlsramp::testing::Outcome;

use crate::support::{Scratch, process, require_command, run_to_end, scraped::Families};

/// Metric, label and value of each series selector; labels of aggregations and texts.
#[test]
fn every_metric_and_label_exists() {
    let families = Families::scrape();
    let mut used = BTreeSet::new();
    for (place, exprs, texts) in rules().into_iter().chain(panels()) {
        let mut labels: BTreeSet<String> = ["job", "instance", "le"].map(str::to_owned).into();
        let mut shown = BTreeSet::new();
        for expr in &exprs {
            for (name, selectors) in selectors(expr) {
                let known = families.labels(&name).unwrap_or_else(|| panic!("{place}: no metric {name} is exposed"));
                for (label, values) in selectors {
                    check_values(&place, known, &label, &values);
                }
                labels.extend(known.keys().cloned());
                used.insert(name);
            }
            shown.extend(grouped(expr));
        }
        assert!(!exprs.is_empty(), "{place} has no expression");
        shown.extend(texts.iter().flat_map(|text| templated(text)));
        for label in shown {
            assert!(labels.contains(&label), "{place}: the metrics of {exprs:?} have no label {label}");
        }
    }
    // A new metric belongs into the dashboard, or here.
    for name in families.names().filter(|name| name.starts_with("tlsramp_")) {
        let is_used = used.iter().any(|used| used.strip_prefix(name).is_some_and(|rest| SUFFIXES.contains(&rest)));
        assert!(is_used, "neither a rule nor the dashboard uses {name}");
    }
}

#[test]
fn each_rule_fires_and_stays_silent_in_its_test() {
    require_command!("promtool");
    let folder = folder();
    for args in [
        &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml"][..],
        &["check", "config", "--lint=all", "--lint-fatal", "prometheus.yaml"],
        &["test", "rules", "alerts.test.yaml"],
    ] {
        let mut promtool = process::tethered("promtool");
        promtool.args(args).current_dir(&folder);
        process::succeed(promtool, LIMIT).unwrap_or_else(|why| panic!("promtool {args:?}: {why}"));
    }
    let tests = yaml("alerts.test.yaml");
    let cases: Vec<(String, bool)> = list(&tests["tests"])
        .flat_map(|test| list(&test["promql_expr_test"]))
        .map(|case| (text(&case["expr"]).to_owned(), list(&case["exp_samples"]).next().is_some()))
        .collect();
    for rule in list(&yaml("alerts.yaml")["groups"]).flat_map(|group| list(&group["rules"])) {
        let name = text(&rule["alert"]);
        for fires in [true, false] {
            let alert = format!("alertname=\"{name}\"");
            assert!(cases.iter().any(|(expr, is)| expr.contains(&alert) && *is == fires), "{name}: {fires} untested");
        }
        let severity = text(&rule["labels"]["severity"]);
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let (summary, description) = (text(&rule["annotations"]["summary"]), text(&rule["annotations"]["description"]));
        assert!(!summary.is_empty() && REMEDIES.iter().any(|command| description.contains(command)), "{name}: remedy");
    }
}

/// As rules, which promtool parses; with an interval in place of the dashboard's variable.
#[test]
fn every_query_of_the_dashboard_is_valid() {
    require_command!("promtool");
    let exprs = panels().into_iter().flat_map(|(_, exprs, _)| exprs);
    let rules: Vec<_> = exprs
        .enumerate()
        .map(|(at, expr)| json!({"record": format!("query:{at}"), "expr": expr.replace("$__rate_interval", "5m")}))
        .collect();
    assert!(rules.len() > 30, "{} queries", rules.len());
    let scratch = Scratch::new("monitoring");
    let file = scratch.join("queries.yaml");
    // JSON is YAML.
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let mut promtool = process::tethered("promtool");
    promtool.args(["check", "rules"]).arg(&file);
    process::succeed(promtool, LIMIT).unwrap_or_else(|why| panic!("{why}"));
}

/// With `--help` behind them, they are parsed and not run.
#[test]
fn every_remedy_is_a_command_that_exists() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let described = list(&dashboard["panels"]).map(|panel| text(&panel["description"]).to_owned());
    let texts = rules().into_iter().flat_map(|(_, _, texts)| texts).chain(described);
    let mut commands = BTreeSet::new();
    for text in texts {
        for rest in text.split("tlsramp ").skip(1).filter(|rest| COMMANDS.iter().any(|name| rest.starts_with(name))) {
            let ends = ["; ", ". ", ", ", ")"].iter().filter_map(|end| rest.find(end)).min();
            commands.insert(rest[..ends.unwrap_or(rest.len())].trim_end_matches('.').to_owned());
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let output = run_to_end(command.split(' ').chain(["--help"]));
        assert!(output.status.success(), "tlsramp {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Place, expressions, and texts with label templates, of each rule.
fn rules() -> Vec<(String, Vec<String>, Vec<String>)> {
    let rules = yaml("alerts.yaml");
    let rules = list(&rules["groups"]).flat_map(|group| list(&group["rules"]));
    rules
        .map(|rule| {
            let texts = ["summary", "description"].map(|key| text(&rule["annotations"][key]).to_owned());
            (text(&rule["alert"]).to_owned(), vec![text(&rule["expr"]).to_owned()], texts.to_vec())
        })
        .collect()
}

/// The same of each panel, variable and annotation of the dashboard.
fn panels() -> Vec<(String, Vec<String>, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut found = Vec::new();
    let mut at = BTreeSet::new();
    for panel in list(&dashboard["panels"]).filter(|panel| panel["type"] != "row") {
        let targets = || list(&panel["targets"]);
        let of = |key: &str| targets().map(|target| text(&target[key]).to_owned()).collect::<Vec<_>>();
        found.push((text(&panel["title"]).to_owned(), of("expr"), of("legendFormat")));
        assert!(at.insert((panel["gridPos"]["x"].as_u64(), panel["gridPos"]["y"].as_u64())), "two panels at one place");
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let texts = vec![text(&annotation["textFormat"]).to_owned()];
        found.push((text(&annotation["name"]).to_owned(), vec![text(&annotation["expr"]).to_owned()], texts));
    }
    for variable in list(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query") {
        let query = text(&variable["definition"]);
        let (expr, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
        let label = format!("{{{{{}}}}}", label.trim_end_matches(')'));
        found.push((text(&variable["name"]).to_owned(), vec![expr.to_owned()], vec![label]));
    }
    assert!(found.len() > 20, "{} panels", found.len());
    found
}

/// The metrics of an expression, each with the labels and value patterns of its selector.
fn selectors(expr: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = expr;
    while let Some(at) = rest.find(is_name) {
        let name: String = rest[at..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[at + name.len()..];
        let selector = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if name == "up" || !(name.starts_with("tlsramp_") || name.starts_with("process_")) {
            // `up` is Prometheus' own, with the labels of the target only.
            continue;
        }
        let pairs =
            selector.map_or("", |(inside, _)| inside).split(", ").flat_map(|part| part.split(",")).filter_map(|pair| {
                let (label, value) = pair.split_once(['=', '!'])?;
                Some((label.to_owned(), value.trim_start_matches(['=', '~']).trim_matches('"').to_owned()))
            });
        found.push((name, pairs.collect()));
        rest = selector.map_or(rest, |(_, after)| after);
    }
    found
}

/// The label exists, and so do the values that are written out. `$` begins a variable of the dashboard.
#[track_caller]
fn check_values(place: &str, known: &BTreeMap<String, BTreeSet<String>>, label: &str, values: &str) {
    if ["job", "instance"].contains(&label) {
        return;
    }
    let exposed = known.get(label).unwrap_or_else(|| panic!("{place}: no label {label}, only {known:?}"));
    for value in values.split('|').filter(|value| !value.starts_with('$')) {
        // A series of an outcome begins with its first connection.
        let is_outcome = label == "outcome" && Outcome::ALL.iter().any(|outcome| outcome.name() == value);
        assert!(exposed.contains(value) || is_outcome, "{place}: no value {value} of {label}, only {exposed:?}");
    }
}

/// The labels in `by (...)` and `on (...)`.
fn grouped(expr: &str) -> Vec<String> {
    let lists = ["by (", "on ("].into_iter().flat_map(|word| expr.split(word).skip(1));
    lists.flat_map(|rest| rest.split(')').next().unwrap().split(", ").map(str::to_owned)).collect()
}

/// The labels in `{{ $labels.NAME }}` and `{{NAME}}`.
fn templated(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim());
    let names = inside.map(|inside| inside.strip_prefix("$labels.").unwrap_or(inside));
    names.filter(|name| !name.starts_with("$value")).map(str::to_owned).collect()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring")
}

/// What an exposed name may have behind the family's name in a query.
const SUFFIXES: [&str; 4] = ["", "_bucket", "_count", "_sum"];
/// Each remedy begins with one of these.
const REMEDIES: [&str; 5] = ["tlsramp ctl ", "tlsramp netfilter ", "tlsramp rollout ", "journalctl ", "promtool "];
/// The commands of tlsramp whose arguments are written out.
const COMMANDS: [&str; 3] = ["ctl ", "netfilter ", "check "];
const LIMIT: Duration = Duration::from_secs(240);
