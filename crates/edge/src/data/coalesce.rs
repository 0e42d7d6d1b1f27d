//! Joins small vectored writes into one plain write: for a head and a short body, copying a few hundred bytes costs
//! less than the kernel's handling of a vector.

use std::io::IoSlice;

/// Room in which small slices are joined.
pub(crate) type Scratch = [u8; 2048];

/// The slices as one, if there is only one or if they fit the scratch room; `None`: write them as they are.
pub(crate) fn as_one<'a>(slices: &'a [IoSlice<'_>], scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    if let [only] = slices {
        return Some(only);
    }
    let mut filled = 0;
    for slice in slices {
        scratch.get_mut(filled..filled + slice.len())?.copy_from_slice(slice);
        filled += slice.len();
    }
    scratch.get(..filled)
}
