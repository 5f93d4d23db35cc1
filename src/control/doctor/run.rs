//! Runs the checks: for a running proxy, one run at a time, and for a configuration.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rustls::pki_types::ServerName;
use tokio::task::JoinSet;

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding, sorted};
use super::report::DoctorReport;
use super::server::{DoctorTarget, ServerLook};
use super::trial::Dialler;
use super::{around, local, names, rules};
use crate::config::{Loaded, MemberSettings, OutboundSettings, Settings};
use crate::control::change::ChangeError;
use crate::control::checks::bypass::look_for_bypass;
use crate::control::checks::interception::interception;
use crate::control::view::View;
use crate::limits::{DOCTOR_FRESH, DOCTOR_SERVERS};
use crate::net::{HostPort, OwnDials, UpstreamAddress, descriptors_at_most, is_own};
use crate::policy::Mode;
use crate::route::{Route, RouteTarget, Routes};
use crate::state::{MemberList, Snapshot};
use crate::telemetry::now_millis;
use crate::upstream::Upstream;

/// The parts of a proxy that the network checks need.
struct DoctorScope<'a> {
    settings: &'a Settings,
    routes: &'a Routes,
    members: &'a MemberList,
    /// The addresses that this process listens on.
    listens: Vec<SocketAddr>,
    dialler: Arc<Dialler>,
}

/// Checks the running proxy. A result is reused for some seconds, and a run continues if the caller leaves, so that
/// callers cannot cause an unlimited number of dials.
///
/// # Errors
/// [`ChangeError::Internal`] if a check panicked.
pub async fn doctor(view: &Arc<View>) -> Result<Arc<DoctorReport>, ChangeError> {
    let view = Arc::clone(view);
    let run = tokio::spawn(async move {
        let cache = Arc::clone(view.doctor());
        let mut last = cache.lock().await;
        let generation = view.snapshot().generation;
        let is_fresh = |at: &Instant, of: u64| at.elapsed() < DOCTOR_FRESH && of == generation;
        if let Some((_, _, report)) = last.as_ref().filter(|(at, of, _)| is_fresh(at, *of)) {
            return Arc::clone(report);
        }
        let report = Arc::new(examine(&view).await);
        *last = Some((Instant::now(), generation, Arc::clone(&report)));
        report
    });
    run.await.map_err(|error| ChangeError::Internal(error.to_string()))
}

async fn examine(view: &Arc<View>) -> DoctorReport {
    let (loaded, routes, members, snapshot) = (view.loaded(), view.routes(), view.members(), view.snapshot());
    let (settings, mode) = (&loaded.settings, snapshot.mode);
    let dialler = Dialler { snapshot: Arc::clone(&snapshot), dials: view.dials().clone(), timeouts: settings.timeouts };
    let listens = view.listeners().addresses().into_iter().map(|(_, address)| address).collect();
    let scope = DoctorScope { settings, routes: &routes, members: &members, listens, dialler: Arc::new(dialler) };
    let (mut findings, me) = scope.servers().await;
    let own = me.iter().filter_map(|me| me.parse().ok()).collect::<Vec<HostPort>>();
    let own = if own.is_empty() { local::own_names(settings) } else { own };
    findings.extend(local::certificates(settings, &snapshot.tls, mode, &own, now_millis() / 1000));
    findings.push(local::descriptors_of_this_process(settings));
    look_for_bypass(view).await;
    let mut interception = interception(view);
    // The port of the name that the server has just reported counts, even if the probe is off or has seen another name.
    interception.advertised = own.first().map(|me| me.port).filter(|_| me.is_some()).or(interception.advertised);
    findings.push(around::rules(&interception, mode));
    findings.extend(around::ways_around(view, &interception, me.as_deref()));
    DoctorReport { mode, checked: SystemTime::now(), findings: sorted(findings) }
}

/// The checks of a configuration that need no network. Those of validity and key usages are left out, because loading
/// the configuration has already warned about these.
#[must_use]
pub fn check_configuration(loaded: &Loaded, mode: Mode) -> Vec<DoctorFinding> {
    let settings = &loaded.settings;
    let names = local::names_of_this_node(settings, &loaded.material, mode, &local::own_names(settings));
    // tlsramp raises its limit to the hard limit at start.
    let descriptors = local::descriptor_facts(settings, descriptors_at_most(), None);
    sorted(names.into_iter().chain([descriptors]).collect())
}

/// The checks of a configuration that need the network: names, and the servers that its routes lead to.
pub async fn check_servers(loaded: &Loaded, routes: &Routes, mode: Mode) -> Vec<DoctorFinding> {
    let settings = &loaded.settings;
    let snapshot = Arc::new(Snapshot::new(mode, 1, Arc::clone(&loaded.material)));
    let dialler = Dialler { snapshot, dials: OwnDials::default(), timeouts: settings.timeouts };
    let listens = settings.inbound.iter().flat_map(|inbound| inbound.binds.iter().copied());
    let listens = listens.chain(settings.outbound.iter().map(|outbound| outbound.listen)).collect();
    let members = MemberList::default();
    let scope = DoctorScope { settings, routes, members: &members, listens, dialler: Arc::new(dialler) };
    sorted(scope.servers().await.0)
}

impl DoctorScope<'_> {
    /// Checks names and the servers of the routes, then the members that the fronted server reports. Also returns the
    /// fronted server's own name in its set.
    async fn servers(&self) -> (Vec<DoctorFinding>, Option<String>) {
        let (mut looks, mut left_out) = self.look(self.routed()).await;
        let hello = looks.iter().find(|look| look.is_fronted()).and_then(|look| look.facts().hello.clone());
        let hello = hello.unwrap_or_default();
        let known: Vec<_> = self.known_members(&hello.hosts);
        let answers = names::resolve(self.all_names(&known).into_iter()).await;
        let addresses = |name: &HostPort| {
            let given = self.members.members().iter().find(|member| member.name == *name);
            given.map(|member| member.addresses.clone()).unwrap_or_default()
        };
        let mut findings: Vec<_> =
            answers.iter().map(|answer| names::finding(answer, &addresses(&answer.name))).collect();
        let mut targets = Vec::new();
        for name in known {
            let resolved = answers.iter().find(|answer| answer.name.host == name.host);
            let resolved = resolved.and_then(|answer| answer.addresses.clone().ok()).unwrap_or_default();
            let mut at = addresses(&name);
            at.extend(name.ip().into_iter().chain(resolved));
            let is_me = hello.me.as_ref().is_some_and(|me| me.parse().is_ok_and(|me: HostPort| me == name));
            if let Some(ip) = at.first().filter(|ip| !is_me && !self.is_this_node(**ip, name.port)) {
                targets.extend(self.member(&name, *ip, &looks));
            }
        }
        let (more, more_left_out) = self.look(targets).await;
        looks.extend(more);
        left_out += more_left_out;
        findings.extend(looks.iter().flat_map(|look| look.findings(&self.dialler)));
        let facts: Vec<_> = looks.iter().filter_map(ServerLook::member_facts).collect();
        findings.extend(rules::members(&facts));
        if left_out > 0 {
            let text = format!("{left_out} more servers were not checked: the limit is {DOCTOR_SERVERS}");
            let remedy = "run `tlsramp ctl doctor` on those nodes";
            let verdict = CheckVerdict::NotChecked;
            findings.push(DoctorFinding::bad(DoctorCheck::Upstream, "more servers", verdict, text, remedy));
        }
        (findings, hello.me)
    }

    /// The servers that the routes lead to.
    fn routed(&self) -> Vec<DoctorTarget> {
        let routes = self.routes.inbound.iter().chain(&self.routes.outbound);
        let target = |route: &Arc<Route>| match &route.target {
            RouteTarget::Upstream(upstream) => Some(DoctorTarget::of_route(route, upstream)),
            RouteTarget::OriginalDestination(_) => None,
        };
        routes.filter_map(target).collect()
    }

    /// The members that the member list, the settings or the fronted server (`hosts`) name, each once.
    fn known_members(&self, hosts: &[String]) -> Vec<HostPort> {
        let mut names: Vec<HostPort> = self.members.members().iter().map(|member| member.name.clone()).collect();
        names.extend(self.settings.members.iter().map(|member| member.name.clone()));
        names.extend(hosts.iter().filter_map(|host| host.parse().ok()));
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert((name.host.to_ascii_lowercase(), name.port)));
        names
    }

    /// The names that must resolve on this host, since no address is given.
    fn all_names(&self, members: &[HostPort]) -> Vec<HostPort> {
        let upstream = self.settings.inbound.iter().filter_map(|inbound| match &inbound.upstream {
            UpstreamAddress::Tcp(target) => Some(target.clone()),
            UpstreamAddress::Unix(_) => None,
        });
        let outbound = self.settings.outbound.iter().map(|outbound| outbound.target.clone());
        let is_given = |name: &&HostPort| {
            let by_option = |one: &MemberSettings| one.name == **name && one.address.is_some();
            let by_route = |one: &OutboundSettings| one.name.eq_ignore_ascii_case(&name.host);
            self.settings.members.iter().any(by_option) || self.settings.outbound.iter().any(by_route)
        };
        let members = members.iter().filter(|name| !is_given(name)).cloned();
        let mut all: Vec<_> = upstream.chain(outbound).chain(members).collect();
        let mut seen = HashSet::new();
        all.retain(|name| seen.insert(name.host.to_ascii_lowercase()));
        all
    }

    /// Whether connections to this address arrive at this proxy, or at the server that it fronts.
    fn is_this_node(&self, ip: IpAddr, port: u16) -> bool {
        let listens = self.listens.iter().any(|at| at.port() == port);
        (listens || local::is_own_port(self.settings, port)) && is_own(ip)
    }

    /// The target for a member, unless an outbound route leads there.
    fn member(&self, name: &HostPort, ip: IpAddr, looks: &[ServerLook]) -> Option<DoctorTarget> {
        let routed = |look: &ServerLook| look.target.name.eq_ignore_ascii_case(&name.to_string());
        let by_route = self
            .settings
            .outbound
            .iter()
            .any(|outbound| outbound.name.eq_ignore_ascii_case(&name.host) && outbound.target.port == name.port);
        if by_route || looks.iter().any(routed) {
            return None;
        }
        let address = SocketAddr::new(ip, name.port);
        let known = self.members.names_at(address);
        let own = ServerName::try_from(name.host.trim_end_matches('.').to_owned()).ok();
        let names = if self.members.at(address).next().is_some() { known } else { own.into_iter().collect() };
        let upstream = Upstream::address(name.to_string(), address, names);
        Some(DoctorTarget::member(name.to_string(), upstream, self.settings.transparent.is_some()))
    }

    /// Connects to the targets concurrently, up to a bound. Also returns how many were left out.
    async fn look(&self, targets: Vec<DoctorTarget>) -> (Vec<ServerLook>, usize) {
        let left_out = targets.len().saturating_sub(DOCTOR_SERVERS);
        let mut running = JoinSet::new();
        for target in targets.into_iter().take(DOCTOR_SERVERS) {
            running.spawn(target.look(Arc::clone(&self.dialler)));
        }
        (running.join_all().await, left_out)
    }
}
