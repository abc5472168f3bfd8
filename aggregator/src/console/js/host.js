// One node: CPU, memory, load, network, disks, file systems.

import { Chart, Group } from "./chart.js";
import { empty, h, list, sheet, show, text } from "./dom.js";
import { bytes, last, number, percent, rate, span } from "./format.js";

export const ranged = true;
export const single = true;

const modes = {
  user: "--c1", system: "--c2", nice: "--c3", iowait: "--c4", irq: "--c5", softirq: "--c6", steal: "--c7",
};
const palette = ["--c1", "--c2", "--c8", "--c5", "--c4", "--c3"];
const MAX_LINES = 3;

export function mount(root) {
  const group = new Group();
  const chart = (options) => new Chart({ group, ...options });
  const [name, facts] = [h("h2"), h("span", { class: "soft" })];
  const cpu = chart({ format: (v) => percent(v), stacked: true, max: 1, height: 190 });
  const memory = chart({ format: bytes, stacked: true, binary: true, height: 190 });
  const load = chart({ format: number, floor: 1 });
  const network = chart({ format: rate, binary: true, floor: 1024 });
  const disks = chart({ format: rate, binary: true, floor: 1024 });
  const busy = chart({ format: (v) => percent(v), floor: 0.1 });
  const cores = h("div", { class: "cores" });
  const coreList = list(cores, (core) => core.i, () => {
    const fill = h("b");
    const el = h("i", {}, fill);
    return { el, update({ i, share }) { fill.style.height = `${(share || 0) * 100}%`; el.title = `CPU ${i}: ${percent(share)}`; } };
  });
  const systems = filesystems();

  const place = (size, title, ...parts) => {
    const made = sheet(title, ...parts);
    if (size) made.el.classList.add(size);
    return made;
  };
  const sheets = {
    cpu: place("half", "CPU", cpu.el, cores),
    memory: place("half", "Memory", memory.el),
    load: place("half", "Load", load.el),
    network: place("half", "Network", network.el),
    disks: place("half", "Disk throughput", disks.el),
    busy: place("half", "Disk busy time", busy.el),
    systems: place("", "File systems", systems.el),
  };
  const grid = h("div", { class: "grid" }, ...Object.values(sheets).map((made) => made.el));
  const head = h("div", { class: "identity" }, name, facts);
  const none = empty("Waiting for the first figures", "The agent reads /proc and /sys every few seconds.");
  root.append(head, grid, none);

  return {
    update(host, body) {
      const some = Boolean(host && (host.cpu.modes.length || host.memory.total));
      show(none, !some);
      show(grid, some);
      show(head, Boolean(host));
      if (host) {
        text(name, host.node);
        const { os, kernel, cpus, boot_ms } = host.about;
        const up = boot_ms ? `up ${span(body.now_ms - boot_ms)}` : "";
        text(facts, [os, kernel, cpus ? `${cpus} CPU${cpus === 1 ? "" : "s"}` : "", up].filter(Boolean).join("  \u00b7  "));
      }
      if (!some) return;
      const { grid: time } = host;
      cpu.set(time, host.cpu.modes.filter(([, cells]) => cells.some((v) => v > 0.0005)).map(([mode, cells]) => ({ name: mode, colour: modes[mode], cells })));
      text(sheets.cpu.note, `${percent(host.cpu.busy)} busy`);
      coreList(host.cpu.each.map((share, i) => ({ i, share })));
      show(cores, host.cpu.each.length > 1);

      const m = host.memory;
      memory.options.max = m.total || undefined;
      memory.set(time, [
        { name: "used", colour: "--c1", cells: m.used },
        { name: "cache", colour: "--c3", cells: m.cache },
        { name: "free", colour: "--sunk", cells: m.free },
      ]);
      const swap = m.swap_total ? `, swap ${bytes(last(m.swap_used))} of ${bytes(m.swap_total)}` : "";
      text(sheets.memory.note, `${bytes(last(m.used))} of ${bytes(m.total)}${swap}`);

      load.set(time, ["1 min", "5 min", "15 min"].map((title, i) => (
        { name: title, colour: ["--c1", "--c2", "--c8"][i], cells: host.load[i] })));
      text(sheets.load.note, host.about.cpus ? `${host.about.cpus} CPUs` : "");

      network.set(time, shown(host.network).flatMap((one, i) => [
        { name: `${one.device} in`, colour: palette[i * 2], cells: one.received },
        { name: `${one.device} out`, colour: palette[i * 2 + 1], cells: one.sent },
      ]));
      const errors = host.network.reduce((sum, one) => sum + one.errors, 0);
      text(sheets.network.note, errors > 0 ? `${number(errors)} errors and drops/s` : others(host.network));
      sheets.network.note.classList.toggle("warn", errors > 0);

      disks.set(time, shown(host.disks).flatMap((one, i) => [
        { name: `${one.device} read`, colour: palette[i * 2], cells: one.read },
        { name: `${one.device} written`, colour: palette[i * 2 + 1], cells: one.written },
      ]));
      text(sheets.disks.note, others(host.disks));
      busy.set(time, shown(host.disks).map((one, i) => (
        { name: one.device, colour: palette[i], cells: one.busy })));
      for (const made of [sheets.disks, sheets.busy]) show(made.el, host.disks.length > 0);
      show(sheets.network.el, host.network.length > 0);
      show(sheets.systems.el, host.filesystems.length > 0);
      systems.set(host.filesystems);
    },
  };
}

/// The busiest, in an order that does not change with how busy they are: nor do their colours.
function shown(devices) {
  return devices.slice(0, MAX_LINES).sort((a, b) => (a.device < b.device ? -1 : 1));
}

function others(devices) {
  return devices.length > MAX_LINES ? `and ${devices.length - MAX_LINES} less busy` : "";
}

function filesystems() {
  const el = h("div", { class: "filesystems" });
  let rows = new Map();
  return {
    el,
    set(all) {
      const keys = all.map((fs) => fs.mountpoint);
      if (keys.join("\n") !== [...rows.keys()].join("\n")) {
        rows = new Map(keys.map((key) => [key, [h("span", { class: "path" }), h("div", { class: "bar" }, h("i")),
          h("span", { class: "num" }), h("span", { class: "num soft" })]]));
        el.replaceChildren(...[...rows.values()].flat());
      }
      for (const fs of all) {
        const [path, bar, used, room] = rows.get(fs.mountpoint);
        text(path, fs.mountpoint);
        path.title = `${fs.device} (${fs.fstype})${fs.readonly ? ", read-only" : ""}`;
        bar.className = fs.readonly ? "bar" : fs.used >= 0.92 ? "bar bad" : fs.used >= 0.8 ? "bar warn" : "bar";
        bar.firstChild.style.width = `${fs.used * 100}%`;
        text(used, percent(fs.used));
        const inodes = fs.inodes_used > 0.8 ? `, inodes ${percent(fs.inodes_used)}` : "";
        text(room, `${bytes(fs.available)} of ${bytes(fs.size)} free${inodes}`);
      }
    },
  };
}
