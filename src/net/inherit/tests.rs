//! Tests of inherited sockets.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use super::Inherited;

#[test]
fn one_socket_is_shared_and_outlives_its_listeners() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut inherited = Inherited::default();
    inherited.add_tcp("inbound".into(), listener).unwrap();
    let shared = inherited.listen(address, 3).unwrap();
    assert!(shared.len() == 3 && shared.iter().all(|one| one.local_addr().unwrap() == address));
    drop(shared);
    let _waits = std::net::TcpStream::connect(address).unwrap();
    assert!(inherited.listen(address, 1).unwrap()[0].accept().is_ok(), "what waited is still there");
    let other = inherited.listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    assert_ne!(other[0].local_addr().unwrap(), address);
}

#[test]
fn what_was_opened_ahead_of_time_is_handed_out_once() {
    let mut inherited = Inherited::default();
    let asked = "127.0.0.1:0".parse().unwrap();
    let listeners = inherited.listen(asked, 2).unwrap();
    let bound = listeners[0].local_addr().unwrap();
    inherited.keep(asked, listeners);
    let other = inherited.listen(asked, 1).unwrap();
    assert_ne!(other[0].local_addr().unwrap(), bound, "port 0 of another route is another port");
    let given = inherited.listen_inbound(asked, 2).unwrap();
    assert!(given.len() == 2 && given.iter().all(|one| one.local_addr().unwrap() == bound));
    drop(given);
    assert!(std::net::TcpStream::connect(bound).is_err(), "nothing listens any more");
    assert_ne!(inherited.listen_inbound(asked, 1).unwrap()[0].local_addr().unwrap(), bound);
}

#[test]
fn listeners_of_a_replaced_process_serve_any_number_of_workers() {
    for (had, workers, given) in [(1, 3, 3), (3, 1, 3), (2, 2, 2), (2, 5, 5)] {
        let mut inherited = Inherited::default();
        let before = inherited.listen("127.0.0.1:0".parse().unwrap(), had).unwrap();
        let address = before[0].local_addr().unwrap();
        for listener in before {
            inherited.take_over_tcp(address, listener.into()).unwrap();
        }
        inherited.try_listen(address).unwrap();
        let after = inherited.listen_inbound(address, workers).unwrap();
        assert_eq!(after.len(), given, "{had} {workers}");
        assert!(after.iter().all(|listener| listener.local_addr().unwrap() == address));
    }
    let mut inherited = Inherited::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(inherited.take_over_tcp(listener.local_addr().unwrap(), connected.into()).is_err());
    assert!(inherited.take_over_tcp("127.0.0.1:1".parse().unwrap(), listener.into()).is_err());
}

#[test]
fn a_socket_of_the_service_manager_stays_one_in_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let mut first = Inherited::default();
    first.add_tcp("inbound".into(), tcp).unwrap();
    first.add_unix("admin".into(), unix).unwrap();

    let mut next = Inherited::default();
    // The second time, it is the same socket again.
    for _ in 0..2 {
        next.take_over_passed("inbound".into(), first.tcp_copies().unwrap().remove(0).1).unwrap();
        next.take_over_passed("admin".into(), first.unix_copies().unwrap().remove(0).1).unwrap();
    }
    assert!(next.tcp().eq(first.tcp()) && next.unix().eq(first.unix()), "{next:?}");
    drop(first);
    for workers in [2, 3] {
        assert_eq!(next.listen(address, workers).unwrap().len(), workers, "it can be had again");
        drop(next.listen_unix(&path).unwrap());
    }
    assert!(path.exists());
    let connected = std::net::TcpStream::connect(address).unwrap();
    assert!(next.take_over_passed("inbound".into(), connected.into()).is_err());
    // The replaced process has made a socket of this path before the service manager did.
    next.take_over_unix(path.clone(), true, UnixListener::bind(folder.path().join("b.sock")).unwrap().into()).unwrap();
    let used = next.listen_unix(&path).unwrap();
    assert!(used.file.is_none() && used.listener.local_addr().unwrap().as_pathname() == Some(&path));
}

#[test]
fn the_file_of_a_taken_socket_is_ours_once_the_replaced_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let first = Inherited::default().listen_unix(&path).unwrap();
    let passed = || first.listener.try_clone().unwrap().into();
    let take = || {
        let mut inherited = Inherited::default();
        inherited.take_over_unix(path.clone(), true, passed()).unwrap();
        inherited
    };
    drop(take());
    drop(take().listen_unix(&path).unwrap());
    assert!(path.exists(), "the replacement failed");
    first.file.as_ref().unwrap().disown();
    let inherited = take();
    drop(first);
    assert!(path.exists(), "it was given away");
    inherited.close_unused();
    assert!(!path.exists());
}

#[test]
fn the_file_of_a_unix_socket_is_not_ours_to_remove() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let mut inherited = Inherited::default();
    inherited.add_unix("admin".into(), UnixListener::bind(&path).unwrap()).unwrap();
    drop(inherited.listen_unix(&path).unwrap());
    assert!(path.exists());
}
