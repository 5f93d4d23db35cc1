//! A timer of the kernel. Tokio's timers are up to 1 ms late, which is longer than most operations take.

use std::io;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// A timer of the kernel is a descriptor. Tokio waits until it is readable, and reads it, as it does for a pipe.
#[derive(Debug)]
pub(super) struct Timer(Receiver);

impl Timer {
    /// # Errors
    /// The descriptor limit is reached.
    pub(super) fn new() -> io::Result<Timer> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Timer(Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// # Errors
    /// The kernel refuses the time.
    pub(super) async fn sleep_until(&self, due: Instant) -> io::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Zero would stop the timer.
            return Ok(());
        }
        let it_value = Timespec::try_from(left).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        // The number of expirations: 8 bytes once the timer has expired.
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done.map(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Timer;

    #[tokio::test]
    async fn it_expires_at_every_time_and_never_early() {
        let timer = Timer::new().unwrap();
        for micros in [0, 1, 300, 2_000] {
            let due = Instant::now() + Duration::from_micros(micros);
            timer.sleep_until(due).await.unwrap();
            assert!(Instant::now() >= due, "{micros} us");
        }
    }
}
