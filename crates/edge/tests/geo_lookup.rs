//! A lookup in the geo database allocates nothing, and says what the database says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use thalweg_core::Location;
use thalweg_edge::shared::geo::GeoDatabase;
use thalweg_testkit::{Scratch, mmdb};

/// Counts what the asking thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "an allocator can only be replaced through unsafe; it hands on every call unchanged"
)]
// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// 64,000 networks of 256 addresses; every fourth is nowhere.
fn database(scratch: &Scratch) -> GeoDatabase {
    let places = [("DE", "EU"), ("US", "NA"), ("", "AF")];
    let networks: Vec<(String, usize)> = (0..64_000usize)
        .filter(|nth| nth % 4 < 3)
        .map(|nth| (format!("10.{}.{}.0/24", nth / 256, nth % 256), nth % 4))
        .collect();
    let networks: Vec<(&str, &str, &str)> =
        networks.iter().map(|(net, nth)| (net.as_str(), places[*nth].0, places[*nth].1)).collect();
    GeoDatabase::read(&scratch.write("geo.mmdb", mmdb(&networks, 1))).unwrap()
}

#[test]
fn a_lookup_allocates_nothing() {
    let scratch = Scratch::new();
    let database = database(&scratch);
    let client = |nth: usize| {
        let [.., high, low] = (nth * 7919 % 64_000).to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, high, low, 77))
    };
    let (mut found, rounds) = ([0; 4], 64_000);
    let (before, began) = (COUNT.with(Cell::get), Instant::now());
    for nth in 0..rounds {
        let Location { country, continent } = database.locate(black_box(client(nth)));
        let kind = usize::from(country.is_some()) + 2 * usize::from(continent.is_some());
        found[kind] += 1;
    }
    let (took, after) = (began.elapsed(), COUNT.with(Cell::get));
    println!("{} ns a lookup", took.as_nanos() / rounds as u128);
    assert_eq!(after - before, 0);
    assert_eq!(found, [16_000, 0, 16_000, 32_000]);
}
