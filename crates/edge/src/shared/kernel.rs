//! What the kernel knows about a silent connection (`TCP_INFO`), and how long it waits for acknowledgements
//! (`TCP_USER_TIMEOUT`). The one file with `unsafe`: socket2, rustix and tokio do not read `TCP_INFO`.

use std::{
    mem,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

use socket2::SockRef;

/// Unacknowledged data ends a connection after this long. This is the backstop behind [`is_dead`]: without it the
/// kernel retries for about a quarter of an hour. Data that a stalled process does not read counts as unacknowledged
/// too: see [`set_user_timeout`].
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// A silence of the remote kernel that is longer than any delayed acknowledgement.
const SILENT: Duration = Duration::from_millis(300);

/// Whether the other end of this TCP connection is gone: data was retransmitted at least once, and the remote kernel
/// has acknowledged nothing for [`SILENT`] and four round trips. A stalled process whose kernel still acknowledges is
/// not gone.
pub(crate) fn is_dead(socket: BorrowedFd<'_>) -> bool {
    read(socket).is_some_and(|info| {
        let silence = Duration::from_millis(info.tcpi_last_ack_recv.into());
        let round_trips = Duration::from_micros(info.tcpi_rtt.into()) * 4;
        info.tcpi_unacked > 0 && info.tcpi_retransmits > 0 && silence >= SILENT.max(round_trips)
    })
}

/// Sets how long sent data may stay unacknowledged on this socket; never shorter than [`UNACKNOWLEDGED`].
pub(crate) fn set_user_timeout(socket: BorrowedFd<'_>, span: Duration) {
    // The call fails on a connection that is ending: there is nothing left to wait for.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(span.max(UNACKNOWLEDGED)));
}

#[expect(unsafe_code, reason = "getsockopt(TCP_INFO) has no safe wrapper")]
fn read(socket: BorrowedFd<'_>) -> Option<libc::tcp_info> {
    // SAFETY: tcp_info is plain integers, for which all zeroes is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&info)).ok()?;
    let into = std::ptr::from_mut(&mut info).cast();
    // SAFETY: `into` points to `length` writable bytes that outlive the call; the kernel writes at most that many.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut length)
    };
    (failed == 0).then_some(info)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn the_user_timeout_is_set_and_never_below_its_floor() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for (told, expected) in [(30, 30), (3, 10), (86_400, 86_400), (0, 10)] {
            set_user_timeout(socket.as_fd(), Duration::from_secs(told));
            let bears = SockRef::from(&socket).tcp_user_timeout().unwrap();
            assert_eq!(bears, Some(Duration::from_secs(expected)), "told {told} s");
        }
    }
}
