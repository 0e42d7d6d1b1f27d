//! The bench rig: see `rig/`.
