"use strict";

/**
 * Clusters as rows of crops, and what a person decides about them.
 *
 * `data.clusters` lists the crops of each, the most typical first, then the surest; a crop that
 * is alone is a cluster of one.
 */
function clusterRows(data, { element, tile, personOf, cameraOf, changed }) {
  const SHOWN = 24; // crops of a cluster, until all are asked for
  const DOUBTFUL = 0.5;
  const groups = data.clusters;
  const decided = groups.map(() => ({ same: false, name: "", out: new Map(), all: false }));
  let unsaved = false;

  const isDoubtful = (place) => data.confidence[place] < DOUBTFUL;
  const several = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

  /** The person whom most crops of a cluster have; "" where none has one. */
  function known(places) {
    const counts = new Map();
    for (const place of places) {
      const pid = data.pids[place];
      if (pid !== null) counts.set(pid, (counts.get(pid) ?? 0) + 1);
    }
    let best = null;
    for (const [pid, count] of counts) if (best === null || count > counts.get(best)) best = pid;
    return best === null ? "" : data.people[best];
  }

  function about(number) {
    const places = groups[number];
    const people = new Set(places.map(personOf).filter(Boolean));
    const cameras = new Set(places.map(cameraOf).filter(Boolean));
    const doubtful = places.length > 1 ? places.filter(isDoubtful).length : 0;
    return [
      people.size > 2 ? several(people.size, "person", "people") : [...people].join(", "),
      several(places.length, "crop", "crops"),
      cameras.size > 1 ? several(cameras.size, "camera", "cameras") : [...cameras].join(""),
      doubtful ? `${doubtful} doubtful` : "",
    ].filter(Boolean).join(" · ");
  }

  function nameField(className, value, placeholder, label, entered) {
    const field = element("input", className);
    Object.assign(field, { type: "search", value, placeholder, autocomplete: "off", size: 14 });
    field.setAttribute("list", "people");
    field.setAttribute("aria-label", label);
    field.addEventListener("input", () => {
      entered(field.value);
      noted();
    });
    return field;
  }

  function noted() {
    unsaved = true;
    changed();
  }

  function member(number, place) {
    const state = decided[number];
    const isOut = state.out.has(place);
    const alone = groups[number].length === 1;
    const doubtful = !alone && isDoubtful(place);
    const item = tile(place, {
      mark: isOut ? "wrong" : doubtful ? "doubtful" : "",
      first: data.confidence[place].toFixed(2) + (isOut ? " ✗" : doubtful ? " ?" : ""),
      second: [personOf(place) || `#${data.ids[place]}`, cameraOf(place)].filter(Boolean).join(" · "),
      told: [`confidence ${data.confidence[place].toFixed(2)}`, doubtful && "doubtful", isOut && "someone else"],
    });
    if (alone) return item;
    const not = element("button", "not", "someone else");
    not.type = "button";
    not.setAttribute("aria-pressed", String(isOut));
    not.addEventListener("click", () => toggle(number, place));
    item.append(not);
    if (isOut) {
      const who = nameField("who", state.out.get(place), "who?", "Who this is", (name) => state.out.set(place, name));
      item.append(who);
    }
    return item;
  }

  /** A crop is someone else: then the others are taken for one person, until that is unticked. */
  function toggle(number, place) {
    const state = decided[number];
    if (state.out.has(place)) state.out.delete(place);
    else {
      state.out.set(place, "");
      if (state.out.size < groups[number].length - 1) state.same = true;
    }
    const old = document.querySelector(`[data-cluster="${number}"]`);
    const focused = old.contains(document.activeElement) ? document.activeElement.className : "";
    const made = row(number);
    old.replaceWith(made);
    const tileOf = made.querySelector(`[data-place="${place}"]`);
    const target = focused === "not" ? tileOf.parentElement.querySelector(".not") : tileOf;
    if (focused) target.focus({ preventScroll: true });
    noted();
  }

  function row(number) {
    const places = groups[number];
    const state = decided[number];
    const item = element("li", "cluster");
    item.dataset.cluster = number;
    const line = element("div", "about");
    const alone = places.length === 1;
    line.append(element("strong", "", alone ? "alone" : `cluster ${number}`), element("span", "faint", about(number)));
    if (!alone) {
      const label = element("label");
      const box = element("input", "same");
      box.type = "checkbox";
      box.checked = state.same;
      box.addEventListener("change", () => {
        state.same = box.checked;
        noted();
      });
      label.append(box, " one person");
      line.append(label);
    }
    const label = element("label", "", "Name ");
    label.append(nameField("name", state.name, known(places) || "new person", "Name of this person", (name) => {
      state.name = name;
    }));
    line.append(label);
    const members = element("ol", "members");
    const shown = state.all ? places : places.slice(0, SHOWN);
    members.append(...shown.map((place) => member(number, place)));
    item.append(line, members);
    if (shown.length < places.length) {
      const all = element("button", "all", `Show all ${places.length.toLocaleString("en")}`);
      all.type = "button";
      all.addEventListener("click", () => {
        state.all = true;
        item.replaceWith(row(number));
      });
      item.append(all);
    }
    return item;
  }

  // ------------------------------------------------------------- what is saved

  /** A name as JSON: a number where a person has that number, or where it is a new one. */
  function nameOf(typed) {
    const name = typed.trim();
    const same = [...data.people.keys()].filter((index) => data.people[index] === name);
    const isNumber = same.length
      ? same.some((index) => data.numbered[index]) : /^(0|[1-9]\d{0,17})$/.test(name);
    return isNumber ? name : JSON.stringify(name);
  }

  const idsOf = (places) => `[${places.map((place) => data.ids[place]).join(", ")}]`;

  function decisionsOf(number) {
    const { same, name, out } = decided[number];
    const rest = groups[number].filter((place) => !out.has(place));
    const found = [];
    if (name.trim() && rest.length) found.push(`{"name": ${nameOf(name)}, "ids": ${idsOf(rest)}}`);
    else if (same && rest.length) found.push(`{"same": ${idsOf(rest)}}`);
    for (const [place, who] of out) {
      if (rest.length) found.push(`{"different": ${idsOf([place, rest[0]])}}`);
      if (who.trim()) found.push(`{"name": ${nameOf(who)}, "ids": ${idsOf([place])}}`);
    }
    return found;
  }

  /** The file: numbers are written digit by digit, as JavaScript rounds those above 2^53. */
  function fileOf() {
    const lists = groups.map((_, number) => decisionsOf(number));
    const paths = groups.flatMap((places, number) => (lists[number].length ? places : []))
      .filter((place) => data.paths[place] && data.paths[place].length < 300)
      .map((place) => `    "${data.ids[place]}": ${JSON.stringify(data.paths[place])}`);
    const lines = lists.flat().map((decision) => `    ${decision}`);
    return `{\n  "format": "sanreid-decisions",\n  "version": 1,\n  "decisions": [\n${lines.join(",\n")}\n  ],\n`
      + `  "paths": {\n${paths.join(",\n")}\n  }\n}\n`;
  }

  function save() {
    const address = URL.createObjectURL(new Blob([fileOf()], { type: "application/json" }));
    const link = element("a");
    link.href = address;
    link.download = "decisions.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    unsaved = false;
  }

  window.addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });

  return {
    count: groups.length,
    places: (number) => groups[number],
    isDoubtful: (number) => groups[number].length > 1 && groups[number].some(isDoubtful),
    isAlone: (number) => groups[number].length === 1,
    row,
    save,
    toggle: (tileOf) => {
      const item = tileOf.closest("[data-cluster]");
      if (item && groups[item.dataset.cluster].length > 1) toggle(Number(item.dataset.cluster), Number(tileOf.dataset.place));
    },
    decided: () => groups.filter((_, number) => decisionsOf(number).length).length,
  };
}
