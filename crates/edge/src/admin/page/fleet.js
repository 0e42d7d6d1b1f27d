// What the edges of the fleet see: edges by pools, and what they disagree about. Nothing without a fleet.

const EDGES = 50, COLUMNS = 12;
function fleetView(fleet) {
  const edges = fleet?.edges ?? [];
  if (!edges.length) return [];
  // "pool/address": an address holds no slash.
  const parted = text => [text.slice(0, text.lastIndexOf("/")), text.slice(text.lastIndexOf("/") + 1)];
  const disputes = (fleet.disagreements ?? []).map(one => ({ ...one, parts: parted(one.endpoint) }));
  const disputed = new Set(disputes.map(one => one.parts[0]));
  const named = [...new Set(edges.flatMap(one => Object.keys(one.pools)))];
  const pools = [...named.filter(one => disputed.has(one)), ...named.filter(one => !disputed.has(one))].slice(0, COLUMNS);
  const cell = (one, own, pool) => {
    const seen = one.pools[pool];
    if (!seen) return h("td", { class: "quiet" }, "–");
    const kind = seen.up === 0 ? "down" : seen.up < seen.of ? "warn" : "up";
    const out = disputes.filter(dispute => dispute.parts[0] === pool && (own ? dispute.out_here : dispute.out_at.includes(one.edge)));
    return h("td", { class: out.length ? `${kind} differs` : kind }, `${SIGN[kind]} ${seen.up}/${seen.of}`,
      out.length > 0 && h("span", {}, ` ≠ ${out.map(dispute => dispute.parts[1]).join(" ")} out`));
  };
  const rows = edges.slice(0, EDGES).map((one, nth) => h("tr", { key: one.edge },
    h("th", { scope: "row" }, nth === 0 ? `${one.edge} (this edge)` : one.edge), pools.map(pool => cell(one, nth === 0, pool))));
  const hidden = Math.max(0, edges.length - EDGES), more = named.length - pools.length;
  return [
    h("table", { key: "table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Edge"), pools.map(pool => h("th", { scope: "col" }, pool)))), h("tbody", {}, rows)),
    (hidden > 0 || more > 0) && h("p", { key: "more", class: "quiet" }, `${hidden} more edges, ${more} more pools: thalweg status`),
    disputes.length > 0 && h("ul", { key: "disputes" }, disputes.map(one => h("li", { class: "warn" },
      `≠ ${one.endpoint}: ${one.out_here ? "out here" : "in service here"}, ${one.out_at.length ? `out at ${one.out_at.join(", ")}` : "at no other edge"}`))),
  ];
}
