//! Networks and the places of geo rules. Never asks a database.

use thalweg_core::{Cidr, CidrProblem, PlaceCode};

use crate::{
    diagnostic::{Diagnostic, quoted},
    tree::{Place, Value},
};

/// The grammar of a network in a few words.
pub(super) const CIDR: &str = "\"192.0.2.0/24\", \"2001:db8::/32\" or an address";
/// The grammar of a place in a few words.
pub(super) const PLACE: &str = "\"country:DE\", \"continent:EU\", \"network:NAME\" or \"*\"";

/// As MaxMind's databases spell them.
const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

/// Codes that are often written and stand for no country in any database.
const COMMON_MISTAKES: [(&str, &str); 3] = [("UK", "GB"), ("EL", "GR"), ("EN", "GB")];

pub(super) fn cidr(text: &str) -> Result<Value, Diagnostic> {
    Cidr::read(text).map(Value::Cidr).map_err(|problem| match problem {
        CidrProblem::NoAddress => Diagnostic::new(format!("{} is not a network", quoted(text))).hint(CIDR),
        CidrProblem::BadLength { longest } => {
            Diagnostic::new(format!("{} has no good length", quoted(text))).hint(format!("/0 to /{longest}"))
        }
        CidrProblem::HostBits { network } => {
            Diagnostic::new(format!("{} is an address inside a network", quoted(text)))
                .hint(format!("the network is \"{network}\""))
        }
    })
}

pub(super) fn place(text: &str) -> Result<Value, Diagnostic> {
    let bad = || Diagnostic::new(format!("{} is not a place", quoted(text))).hint(PLACE);
    if text == "*" {
        return Ok(Value::Place(Place::Any));
    }
    let (kind, name) = text.split_once(':').ok_or_else(bad)?;
    let code = || {
        let upper = PlaceCode::read(&name.to_ascii_uppercase());
        let hint = upper.map(|code| format!("two capital letters: \"{kind}:{}\"", code.as_str()));
        let diagnostic = Diagnostic::new(format!("{} is no code", quoted(name)));
        PlaceCode::read(name).ok_or_else(|| match hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic.hint(PLACE),
        })
    };
    let place = match kind {
        "network" => Place::Network(name.to_owned()),
        "country" => {
            let code = code()?;
            if let Some((_, right)) = COMMON_MISTAKES.iter().find(|(wrong, _)| *wrong == code.as_str()) {
                return Err(Diagnostic::new(format!("{} is no code of a country", quoted(name)))
                    .hint(format!("ISO 3166-1 has \"country:{right}\"")));
            }
            Place::Country(code)
        }
        "continent" => {
            let code = code()?;
            if !CONTINENTS.contains(&code.as_str()) {
                return Err(
                    Diagnostic::new(format!("{} is no continent", quoted(name))).hint(CONTINENTS.join(", "))
                );
            }
            Place::Continent(code)
        }
        _ => return Err(bad()),
    };
    Ok(Value::Place(place))
}
