//! Tests that the check can fail: a node in another mode than expected is found, cell by cell, by real connections.

use super::cluster::Cluster;
use super::files::Files;
use super::node::{NAMES, start_all};
use super::observe::{link_of, opening_of};
use super::screen::Screen;
use super::truth_table::{differences, link, plaintext, tls};
use super::upgrade::{Pace, Upgrade};
use crate::control::{Caller, Change};
use crate::mongo::MongoClient;
use crate::policy::{Link, Mode, Opening, Spelling};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

const AT_ONCE: Pace = Pace { step: Duration::ZERO, client: Duration::ZERO };

#[tokio::test]
async fn a_node_in_another_mode_is_found() {
    let files = Files::make(&NAMES).unwrap();
    let cluster = Cluster::start(&files, 0).await.unwrap();
    for actual in Mode::ALL {
        for node in &cluster.nodes {
            node.app.controller.change_mode(Change::forced(actual, Spelling::Ssl), &Caller::PROGRAM).await.unwrap();
        }
        let seen = cluster.look(0).await;
        for should in Mode::ALL {
            let cells = usize::from(plaintext(should) != plaintext(actual))
                + usize::from(tls(should) != tls(actual))
                + 2 * usize::from(link(should) != link(actual));
            let found = differences("node a", should, &seen);
            assert_eq!(found.len(), cells, "{actual} instead of {should}: {found:#?}");
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn an_upgrade_ends_at_the_first_difference() {
    let files = Files::make(&NAMES).unwrap();
    let cluster = Cluster::start(&files, 3).await.unwrap();
    cluster.nodes[1]
        .app
        .controller
        .change_mode(Change::to(Mode::Allow, Spelling::Ssl), &Caller::PROGRAM)
        .await
        .unwrap();
    let findings = Upgrade::new(&cluster, &Screen::new(), AT_ONCE).run().await;
    assert_eq!(
        findings.differences,
        ["node b in mode disabled: a TLS client should be refused with alert 49, access_denied, but was accepted"]
    );
    cluster.stop().await;
}

#[tokio::test]
async fn an_upgrade_goes_through_and_leaves_nothing() {
    let files = Files::make(&NAMES).unwrap();
    let folder = files.ca().parent().unwrap().to_owned();
    let cluster = Cluster::start(&files, 3).await.unwrap();
    let findings = Upgrade::new(&cluster, &Screen::new(), AT_ONCE).run().await;
    assert_eq!(findings.differences, [""; 0]);
    assert_eq!((cluster.tally.failed(), cluster.tally.first_failures()), (0, Vec::new()));
    for client in &cluster.clients {
        assert_eq!(opening_of(&cluster.nodes[client.node], client.local().unwrap()), Some(Opening::Tls));
    }
    cluster.stop().await;
    drop(files);
    assert!(!folder.exists());
}

/// The kernel may give a link that is made after a change the local address of one that was made before it, if they lead to
/// different listeners.
#[tokio::test]
async fn links_with_the_same_local_address_are_told_apart() {
    let files = Files::make(&NAMES).unwrap();
    let nodes = start_all(&files).await.unwrap();
    let connect = async |local: SocketAddr, to: SocketAddr| -> MongoClient<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(local).unwrap();
        let mut client = MongoClient::over(socket.connect(to).await.unwrap());
        client.hello().await.unwrap();
        client
    };
    let [first, second] = &nodes[0].outbound[..] else { panic!("there are two other nodes") };
    // A port that stays reserved: it is bound, and nobody listens.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let local = reserved.local_addr().unwrap();
    let before = connect(local, first.listen).await;
    for node in &nodes {
        node.app.controller.change_mode(Change::forced(Mode::Prefer, Spelling::Ssl), &Caller::PROGRAM).await.unwrap();
    }
    let after = connect(local, second.listen).await;
    assert_eq!(link_of(&nodes[0], first, local), Ok(Link::Plaintext));
    assert_eq!(link_of(&nodes[0], second, local), Ok(Link::Tls));
    drop((before, after));
    for node in nodes {
        node.stop().await;
    }
}
