//! The keys of the fleet: the engine that edges share, and what this edge believes of it. Only declarations, as in the
//! parent.

use crate::{
    table::{Default as D, Kind, Shape, choice, list, text},
    text::Text,
};

/// The spellings of [`crate::Ring`], in the order of a rollout.
pub(crate) const RINGS: &[&str] = &["canary", "region", "all"];

pub(crate) const FLEET: Shape = Shape {
    title: "[fleet]",
    doc: "The NATS servers from which this edge takes signed bundles of config. Serving never depends on them.",
    keys: &[
        list(
            "nats",
            Kind::List { of: &Kind::Text(Text::Nats), min: 1, max: 16 },
            D::Required,
            "NATS servers, 2.10 or newer, with JetStream; port 4222 unless given.",
        ),
        text(
            "verify",
            Text::File,
            D::Required,
            "Ed25519 public key in PEM (SPKI). A bundle that its private key did not sign is refused.",
        ),
        text(
            "credentials",
            Text::File,
            D::Absent("none"),
            "File of one line, `USER:PASSWORD` or a token; or a `.creds` file of a NATS account (a JWT and the seed of an nkey). Read at load, and again when it changes.",
        ),
        text(
            "ca",
            Text::File,
            D::Absent("the system's roots"),
            "Private CA bundle in PEM that the servers' certificates are verified with.",
        ),
        choice(
            "ring",
            RINGS,
            D::Text("all"),
            "Which bundles this edge takes: those that were published for its ring, or for a later one.",
        ),
        text(
            "name",
            Text::Label,
            D::Absent("that of the edge"),
            "Name of this edge among the others; unique.",
        ),
        text("bucket", Text::Name, D::Text("thalweg"), "Key-value bucket of the fleet, without dots."),
        text(
            "domain",
            Text::Name,
            D::Absent("that of the server"),
            "JetStream domain of the servers that keep the bucket, for edges whose `nats` is a leaf with a domain of its own.",
        ),
    ],
};
