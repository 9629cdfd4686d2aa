"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const pictures = JSON.parse(byId("pictures").textContent);
  const count = data.ids.length;
  const CHUNK = 150; // crops laid out at a time
  const ROWS = 30; // clusters laid out at a time
  const MOST_OFFERED = 2000; // people offered while typing

  const grid = byId("grid");
  const controls = {
    camera: byId("camera"), person: byId("person"), view: byId("view"), doubtful: byId("doubtful"),
    elsewhere: byId("elsewhere"), least: byId("least"), quality: byId("quality"),
  };
  const placeOf = new Map(data.ids.map((id, place) => [id, place]));
  let shown = []; // places in data, or clusters, in the order of the grid
  let similarities = null; // by place, in a search
  let query = null; // a place, or null: all crops
  const inClusters = () => clusters !== null && query === null && controls.view.value === "clusters";

  // ------------------------------------------------------------- similarity

  function bytesOf(id) {
    const raw = atob(byId(id).textContent.trim());
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes.buffer;
  }

  /** Embeddings are here, 8 bits a number: every pair can be compared. */
  function exactSearch() {
    const codes = new Int8Array(bytesOf("vectors"));
    const scales = new Float32Array(bytesOf("factors"));
    const dim = data.dim;
    return (asked) => {
      const found = new Float32Array(count);
      const own = codes.subarray(asked * dim, (asked + 1) * dim);
      for (let place = 0, at = 0; place < count; place++) {
        let sum = 0;
        for (let d = 0; d < dim; d++, at++) sum += codes[at] * own[d];
        found[place] = sum * scales[place] * scales[asked];
      }
      return found;
    };
  }

  /** A large gallery brings the nearest of each crop; the others are not known. */
  function listedSearch() {
    const places = new Int32Array(bytesOf("vectors"));
    const values = new Int16Array(bytesOf("factors"));
    const width = data.neighbours;
    return (asked) => {
      const found = new Float32Array(count).fill(NaN);
      for (let i = asked * width; i < (asked + 1) * width; i++) {
        if (places[i] >= 0) found[places[i]] = values[i] / 32767;
      }
      return found;
    };
  }

  let compare = null; // decoded when first needed
  function similaritiesOf(asked) {
    compare ??= data.neighbours ? listedSearch() : exactSearch();
    return compare(asked);
  }

  // ------------------------------------------------------------- what is shown

  function personFilter(typed) {
    const wanted = typed.trim().toLowerCase();
    if (!wanted) return () => true;
    const names = data.people.map((name) => name.toLowerCase());
    const exact = names.includes(wanted);
    if (!exact && wanted === "nobody") return (place) => data.pids[place] === null;
    const kept = names.map((name) => (exact ? name === wanted : name.includes(wanted)));
    return (place) => data.pids[place] !== null && kept[data.pids[place]];
  }

  function select() {
    const isPerson = personFilter(controls.person.value);
    const camera = controls.camera.value;
    const least = Number(controls.least.value);
    const worth = Number(controls.quality.value);
    shown = [];
    for (let place = 0; place < count; place++) {
      const camid = data.camids[place];
      if (camera && cameraKey(camid) !== camera) continue;
      if (!isPerson(place)) continue;
      if (worth > 0 && !(data.qualities?.[place] >= worth)) continue; // unknown is not enough
      if (query !== null) {
        if (place === query || Number.isNaN(similarities[place])) continue;
        if (least > -1 && similarities[place] < least) continue;
        if (controls.elsewhere.checked && camid !== null && camid === data.camids[query]) continue;
      }
      shown.push(place);
    }
    if (inClusters()) {
      const fitting = new Set(shown);
      shown = [...Array(clusters.count).keys()].filter((number) => (
        clusters.places(number).some((place) => fitting.has(place))
        && (!controls.doubtful.checked || clusters.isDoubtful(number))));
    }
    if (query !== null) shown.sort((a, b) => similarities[b] - similarities[a] || a - b);
  }

  // A camera may be called "none", which is not the same as no camera.
  const cameraKey = (camid) => (camid === null ? "none" : JSON.stringify(camid));
  const personOf = (place) => (data.pids[place] === null ? "" : `person ${data.people[data.pids[place]]}`);
  const cameraOf = (place) => {
    const camera = data.camids[place];
    return typeof camera === "number" ? `cam ${camera}` : camera ?? "";
  };

  function timeOf(place) {
    const seconds = data.times ? data.times[place] : null;
    if (seconds === null) return "";
    const date = new Date(seconds * 1000);
    return seconds >= 1e8 && !Number.isNaN(date.getTime())
      ? date.toISOString().replace("T", " ").replace(".000Z", " UTC") : `${seconds} s`;
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function frame(place) {
    const source = pictures[place];
    const box = element("span", "frame");
    const gone = () => {
      box.classList.add("gone");
      box.replaceChildren("no picture");
    };
    if (!source) {
      gone();
      return box;
    }
    const image = element("img");
    image.alt = "";
    image.decoding = "async";
    image.addEventListener("error", gone);
    image.src = data.linked ? source : `data:image/jpeg;base64,${source}`;
    box.append(image);
    return box;
  }

  function markOf(place) {
    if (query === null || data.pids[query] === null || data.pids[place] === null) return "";
    return data.pids[place] === data.pids[query] ? "right" : "wrong";
  }

  /** What stands below a crop of the grid, and what is told of it. */
  function wordsOf(place) {
    const who = personOf(place) || `#${data.ids[place]}`;
    if (query === null) return { mark: "", first: who, second: cameraOf(place), told: [] };
    const mark = markOf(place);
    const sign = { right: " ✓", wrong: " ✗" }[mark] ?? "";
    const similarity = similarities[place].toFixed(2);
    const second = [who, cameraOf(place)].filter(Boolean).join("\n");
    return { mark, first: similarity + sign, second, told: [`similarity ${similarity}`, mark] };
  }

  function tile(place, { mark, first, second, told } = wordsOf(place)) {
    const button = element("button", `tile ${mark}`);
    button.type = "button";
    button.dataset.place = place;
    button.append(frame(place), element("span", "first", first), element("span", "second", second));
    const facts = [`entry ${data.ids[place]}`, personOf(place), cameraOf(place), ...told, data.paths[place]];
    button.title = facts.filter(Boolean).join(", ");
    button.setAttribute("aria-label", button.title);
    const item = element("li");
    item.append(button);
    return item;
  }

  const clusters = data.clusters
    ? clusterRows(data, { element, tile, personOf, cameraOf, changed: showDecided }) : null;

  function showDecided() {
    const number = clusters.decided();
    byId("save").textContent = number ? `Save decisions (${number.toLocaleString("en")})` : "Save decisions";
    byId("save").disabled = !number;
  }

  let laidOut = 0;
  let ruled = false;
  function more() {
    const part = document.createDocumentFragment();
    const rows = inClusters();
    for (const place of shown.slice(laidOut, laidOut + (rows ? ROWS : CHUNK))) {
      if (rows) {
        part.append(clusters.row(place));
        laidOut++;
        continue;
      }
      if (query !== null && data.threshold !== null && !ruled && similarities[place] < data.threshold) {
        part.append(element("li", "rule", `below the calibrated threshold of ${data.threshold.toFixed(2)}`));
        ruled = true;
      }
      part.append(tile(place));
      laidOut++;
    }
    grid.append(part);
    byId("more").hidden = laidOut >= shown.length;
  }

  function showQuery() {
    const panel = byId("query");
    panel.replaceChildren();
    if (query === null) return;
    const picture = frame(query);
    picture.classList.add("asked");
    const list = element("dl");
    const facts = [
      ["entry", `#${data.ids[query]}`], ["person", data.people[data.pids[query]] ?? "not known"],
      ["camera", data.camids[query] ?? "not known"], ["time", timeOf(query)],
      ["file", data.paths[query]], ["more", data.notes[query]],
    ];
    for (const [name, value] of facts) {
      if (value !== "" && value !== null) list.append(element("dt", "", name), element("dd", "", value));
    }
    const back = element("button", "", clusters ? "Back" : "Show all crops");
    back.id = "back";
    back.type = "button";
    back.addEventListener("click", () => searchFor(null));
    const words = element("div");
    words.append(list, back);
    panel.append(picture, words);
  }

  function render() {
    similarities = query === null ? null : similaritiesOf(query);
    document.body.classList.toggle("search", query !== null);
    document.body.classList.toggle("clusters", inClusters());
    const least = Number(controls.least.value);
    byId("least-value").textContent = least > -1 ? least.toFixed(2) : "any";
    const worth = Number(controls.quality.value);
    byId("quality-value").textContent = worth > 0 ? worth.toFixed(2) : "any";
    select();
    showQuery();
    grid.replaceChildren();
    laidOut = 0;
    ruled = false;
    more();
    byId("status").textContent = inClusters() ? clusterStatus() : cropStatus();
  }

  function clusterStatus() {
    if (shown.length === 0) return "No cluster fits. Clear the filters to see more.";
    const alone = shown.filter(clusters.isAlone).length;
    const groups = shown.length - alone;
    const words = `${groups.toLocaleString("en")} ${groups === 1 ? "cluster" : "clusters"}, ${alone.toLocaleString("en")} alone`;
    return shown.length < clusters.count ? `${words}, of ${clusters.count.toLocaleString("en")} in all` : words;
  }

  function cropStatus() {
    const number = `${shown.length.toLocaleString("en")} ${shown.length === 1 ? "crop" : "crops"}`;
    let words = shown.length < count ? `${number} of ${count.toLocaleString("en")}` : number;
    if (query !== null) words = `${number}, most like #${data.ids[query]} first`;
    if (count === 0) words = "This page is empty.";
    else if (count === 1 && query !== null) words = "There is no other crop.";
    else if (shown.length === 0) words = "No crop fits. Clear the filters to see more.";
    if (query !== null && data.neighbours) words += ` (of its ${data.neighbours} nearest)`;
    return words;
  }

  // ------------------------------------------------------------- the address says what is shown

  function address() {
    const parts = new URLSearchParams();
    if (query !== null) parts.set("like", data.ids[query]);
    if (controls.camera.value) parts.set("camera", controls.camera.value);
    if (controls.person.value.trim()) parts.set("person", controls.person.value.trim());
    if (clusters && controls.view.value !== "clusters") parts.set("view", controls.view.value);
    if (controls.doubtful.checked) parts.set("doubtful", "1");
    if (controls.elsewhere.checked) parts.set("elsewhere", "1");
    if (Number(controls.least.value) > -1) parts.set("least", controls.least.value);
    if (Number(controls.quality.value) > 0) parts.set("quality", controls.quality.value);
    return `#${parts}`;
  }

  function readAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    query = parts.has("like") ? placeOf.get(parts.get("like")) ?? null : null;
    controls.camera.value = parts.get("camera") ?? "";
    if (controls.camera.selectedIndex < 0) controls.camera.value = "";
    controls.person.value = parts.get("person") ?? "";
    controls.view.value = parts.get("view") === "crops" ? "crops" : "clusters";
    controls.doubtful.checked = parts.get("doubtful") === "1";
    controls.elsewhere.checked = parts.get("elsewhere") === "1";
    controls.least.value = parts.get("least") ?? "-1";
    controls.quality.value = data.qualities ? parts.get("quality") ?? "0" : "0";
    render();
  }

  let current = null; // the address that is rendered
  function update({ remember = false } = {}) {
    if (remember) location.hash = address();
    else location.replace(address());
    current = location.hash; // as the browser spells it
    render();
  }

  function searchFor(place) {
    const focused = grid.contains(document.activeElement);
    const before = query;
    query = place;
    update({ remember: true });
    window.scrollTo(0, 0);
    if (!focused) return;
    const back = place === null && before !== null ? grid.querySelector(`[data-place="${before}"]`) : null;
    (back ?? grid.querySelector(".tile"))?.focus({ preventScroll: back === null });
  }

  // ------------------------------------------------------------- hands

  function step(tiles, at, key) {
    if (key === "ArrowRight") return at + 1;
    if (key === "ArrowLeft") return at - 1;
    if (key === "Home") return 0;
    if (key === "End") return tiles.length - 1;
    const down = key === "ArrowDown" ? 1 : -1;
    const { offsetTop: top, offsetLeft: left } = tiles[at];
    let next = at;
    while (tiles[next] && tiles[next].offsetTop === top) next += down;
    if (!tiles[next]) return next;
    const line = tiles[next].offsetTop;
    let best = next;
    for (; tiles[next] && tiles[next].offsetTop === line; next += down) {
      if (Math.abs(tiles[next].offsetLeft - left) < Math.abs(tiles[best].offsetLeft - left)) best = next;
    }
    return best;
  }

  grid.addEventListener("click", (event) => {
    const button = event.target.closest(".tile");
    if (button) searchFor(Number(button.dataset.place));
  });
  grid.addEventListener("keydown", (event) => {
    if (!["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
    const tiles = [...grid.querySelectorAll(".tile")];
    const at = tiles.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    let next = step(tiles, at, event.key);
    if (next >= tiles.length && laidOut < shown.length) {
      more();
      tiles.splice(0, tiles.length, ...grid.querySelectorAll(".tile"));
      next = step(tiles, at, event.key);
    }
    tiles[Math.max(0, Math.min(next, tiles.length - 1))].focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
    if (event.key === "Escape") {
      if (byId("help").open) byId("help").open = false;
      else if (typing && event.target.value) { event.target.value = ""; update(); }
      else if (query !== null) searchFor(null);
    } else if (typing || event.target instanceof HTMLSelectElement) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      controls.person.focus();
    } else if (event.key === "c") {
      controls.camera.focus();
    } else if (event.key === "x" && inClusters() && event.target.closest?.(".tile")) {
      clusters.toggle(event.target);
    } else if (event.key === "o" && query !== null) {
      const focused = grid.contains(document.activeElement);
      controls.elsewhere.checked = !controls.elsewhere.checked;
      update();
      if (focused) grid.querySelector(".tile")?.focus({ preventScroll: true });
    } else if (event.key.startsWith("Arrow") && document.activeElement === document.body) {
      event.preventDefault();
      grid.querySelector(".tile")?.focus();
    }
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const control of Object.values(controls)) {
    control.addEventListener(control instanceof HTMLSelectElement ? "change" : "input", () => update());
  }
  byId("reset").addEventListener("click", () => {
    controls.camera.value = "";
    controls.person.value = "";
    controls.doubtful.checked = false;
    controls.elsewhere.checked = false;
    controls.least.value = "-1";
    controls.quality.value = "0";
    update({ remember: true });
  });
  byId("more").addEventListener("click", more);
  byId("save").addEventListener("click", () => clusters.save());
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting) && laidOut < shown.length) more();
  }, { rootMargin: "600px" }).observe(byId("more"));
  new ResizeObserver(([header]) => {
    document.documentElement.style.setProperty("--header", `${header.target.offsetHeight}px`);
  }).observe(document.querySelector("header"));
  window.addEventListener("hashchange", () => {
    if (location.hash !== current) readAddress();
    current = location.hash;
  });

  // ------------------------------------------------------------- begin

  /** Numbers rising, then names, then none. */
  function byCamera(a, b) {
    const rank = (camid) => (camid === null ? 2 : typeof camid === "string" ? 1 : 0);
    return rank(a) - rank(b) || (a < b ? -1 : Number(a > b));
  }

  const cameras = new Map();
  for (const camid of data.camids) cameras.set(camid, (cameras.get(camid) ?? 0) + 1);
  for (const [camid, number] of [...cameras].sort(([a], [b]) => byCamera(a, b))) {
    const name = camid === null ? "without a camera" : camid;
    const option = element("option", "", `${name} (${number.toLocaleString("en")})`);
    option.value = cameraKey(camid);
    controls.camera.append(option);
  }
  byId("by-quality").hidden = data.qualities === null;
  for (const name of data.people.slice(0, MOST_OFFERED)) {
    const option = element("option");
    option.value = name;
    byId("people").append(option);
  }
  if (clusters) {
    document.body.classList.add("grouped");
    showDecided();
  }
  readAddress();
  current = location.hash;
})();
