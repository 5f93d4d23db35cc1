//! Passes sockets to another process, over a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Maximum number of sockets in one message. The kernel allows 253.
pub const PASSED_AT_ONCE: usize = 64;

/// Sends at most [`PASSED_AT_ONCE`] sockets with one byte.
///
/// # Errors
/// The kernel's error; `InvalidInput` for more sockets.
pub fn pass(channel: impl AsFd, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_AT_ONCE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(channel, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the sockets of one call of [`pass`].
///
/// # Errors
/// The kernel's error; `UnexpectedEof` if the other process has closed the channel.
pub fn receive_passed(channel: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            sockets.extend(passed);
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::{PASSED_AT_ONCE, pass, receive_passed};

    #[test]
    fn what_is_passed_outlives_the_sender() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..PASSED_AT_ONCE).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = listeners[5].local_addr().unwrap();
        let _waits = TcpStream::connect(address).unwrap();
        pass(&ours, &listeners.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        pass(&ours, &[]).unwrap();
        let too_many: Vec<_> = listeners.iter().cycle().take(PASSED_AT_ONCE + 8).map(AsFd::as_fd).collect();
        assert!(pass(&ours, &too_many).is_err());
        drop((listeners, ours));
        let passed = receive_passed(&theirs).unwrap();
        assert_eq!(passed.len(), PASSED_AT_ONCE);
        let listener = TcpListener::from(passed.into_iter().nth(5).unwrap());
        assert_eq!(listener.local_addr().unwrap(), address);
        listener.accept().unwrap();
        assert!(receive_passed(&theirs).unwrap().is_empty());
        assert!(receive_passed(&theirs).is_err(), "the sender is gone");
    }
}
