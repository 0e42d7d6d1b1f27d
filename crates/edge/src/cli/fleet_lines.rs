//! The lines of `status` about the fleet: each edge with its pools, what the edges disagree about, and refused orders.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use serde_json::Value;

use super::cells::plain;

/// Nothing for an edge without a fleet.
pub(super) fn lines(fleet: &Value) -> String {
    let list = |name: &str| fleet[name].as_array().into_iter().flatten();
    let pools = |row: &Value| {
        let pools = row["pools"].as_object().into_iter().flatten();
        let pools = pools.map(|(pool, sight)| format!("  {pool} {}/{}", sight["up"], sight["of"]));
        pools.collect::<String>()
    };
    let edge = |row: &Value| format!("fleet edge {}{}\n", plain(&row["edge"]), pools(row));
    let disagreement = |one: &Value| format!("fleet disagrees about {}\n", difference(one));
    let refused = fleet["orders"]["refused"].as_array().into_iter().flatten();
    let refused =
        refused.map(|one| format!("fleet order {} not obeyed: {}\n", one["id"], plain(&one["detail"])));
    list("edges").map(edge).chain(list("disagreements").map(disagreement)).chain(refused).collect()
}

/// The lines of `explain`: what the edges disagree about in the pools of the route.
pub(super) fn disagreements(said: &Value) -> String {
    let all = said["disagreements"].as_array().into_iter().flatten();
    all.map(|one| format!("fleet     disagrees about {}\n", difference(one))).collect()
}

fn difference(one: &Value) -> String {
    let at: Vec<String> = one["out_at"].as_array().into_iter().flatten().map(plain).collect();
    let here = if one["out_here"] == true { "out here" } else { "in service here" };
    let there =
        if at.is_empty() { "at no other edge".to_owned() } else { format!("out at {}", at.join(", ")) };
    format!("{}: {here}, {there}", plain(&one["endpoint"]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lines;

    #[test]
    fn the_lines_show_edges_by_pools_and_what_differs() {
        assert_eq!(lines(&Value::Null), "");
        let fleet = json!({
            "edges": [{ "edge": "a", "pools": { "p": { "up": 1, "of": 2 } } }, { "edge": "b", "pools": {} }],
            "disagreements": [{ "endpoint": "p/x:1", "out_here": false, "out_at": ["b"] },
                { "endpoint": "p/y:1", "out_here": true, "out_at": [] }],
            "orders": { "refused": [{ "id": 7, "detail": "because" }] },
        });
        let expected = "fleet edge a  p 1/2\nfleet edge b\nfleet disagrees about p/x:1: in service here, out at b\n\
            fleet disagrees about p/y:1: out here, at no other edge\nfleet order 7 not obeyed: because\n";
        assert_eq!(lines(&fleet), expected);
    }
}
