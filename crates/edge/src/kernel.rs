//! What the kernel knows about a connection that gives no answer: `TCP_INFO`. The one file with `unsafe`: neither
//! socket2, rustix nor tokio reads it.

use std::{mem, os::fd::RawFd, time::Duration};

/// Silence of the peer's kernel that is longer than any delayed acknowledgement.
const SILENT: Duration = Duration::from_millis(300);

/// Is the other end of this TCP connection gone? True when data was sent again at least once and the peer's kernel has
/// acknowledged nothing for [`SILENT`] and four round trips. A wedged process whose kernel still acknowledges is not.
pub(crate) fn is_dead(socket: RawFd) -> bool {
    read(socket).is_some_and(|info| {
        let silence = Duration::from_millis(info.tcpi_last_ack_recv.into());
        let round_trips = Duration::from_micros(info.tcpi_rtt.into()) * 4;
        info.tcpi_unacked > 0 && info.tcpi_retransmits > 0 && silence >= SILENT.max(round_trips)
    })
}

#[expect(
    unsafe_code,
    reason = "getsockopt(TCP_INFO) has no safe wrapper; a wrong descriptor is an error, not a fault"
)]
fn read(socket: RawFd) -> Option<libc::tcp_info> {
    // SAFETY: tcp_info is plain integers, for which all zeroes is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&info)).ok()?;
    let into = std::ptr::from_mut(&mut info).cast();
    // SAFETY: `into` points to `length` writable bytes that outlive the call; the kernel writes at most that many.
    let failed =
        unsafe { libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, into, &raw mut length) };
    (failed == 0).then_some(info)
}
