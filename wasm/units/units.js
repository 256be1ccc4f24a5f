// Converts between units of measurement: the tools `convert` and `units`.
//
// A unit is [symbol, factor to the kind's base unit, names..., {offset}]; base = value * factor + offset. Symbols are matched as
// written first (mW is no MW); what then is left is matched without regard to case, provided that only one unit answers to it.

const INCH = 0.0254;
const POUND = 0.45359237;
const GALLON = 0.003785411784;
const GRAVITY = 9.80665;

const KINDS = {
  length: [
    ["m", 1, "meter", "metre"], ["km", 1e3, "kilometer", "kilometre"], ["cm", 1e-2, "centimeter", "centimetre"],
    ["mm", 1e-3, "millimeter", "millimetre"], ["µm", 1e-6, "um", "micrometer", "micrometre", "micron"],
    ["nm", 1e-9, "nanometer", "nanometre"], ["in", INCH, "inch", "inches"], ["ft", 12 * INCH, "foot", "feet"],
    ["yd", 36 * INCH, "yard"], ["mi", 63360 * INCH, "mile"], ["nmi", 1852, "nautical mile"], ["mil", INCH / 1000, "thou"],
  ],
  area: [
    ["m²", 1, "m2", "square meter", "square metre"], ["km²", 1e6, "km2", "square kilometer"], ["cm²", 1e-4, "cm2"], ["mm²", 1e-6, "mm2"],
    ["ha", 1e4, "hectare"], ["in²", INCH ** 2, "in2", "square inch"], ["ft²", (12 * INCH) ** 2, "ft2", "square foot"],
    ["acre", 4046.8564224, "acres"], ["mi²", (63360 * INCH) ** 2, "mi2", "square mile"],
  ],
  volume: [
    ["m³", 1, "m3", "cubic meter", "cubic metre"], ["l", 1e-3, "L", "liter", "litre"], ["ml", 1e-6, "mL", "milliliter", "millilitre"],
    ["cm³", 1e-6, "cm3", "cc"], ["gal", GALLON, "gallon", "US gallon"], ["qt", GALLON / 4, "quart"], ["pt", GALLON / 8, "pint"],
    ["fl oz", GALLON / 128, "floz", "fluid ounce"], ["imp gal", 0.00454609, "imperial gallon"], ["in³", INCH ** 3, "in3", "cubic inch"],
    ["ft³", (12 * INCH) ** 3, "ft3", "cubic foot", "cubic feet"], ["bbl", 42 * GALLON, "barrel", "oil barrel"],
  ],
  mass: [
    ["kg", 1, "kilogram"], ["g", 1e-3, "gram"], ["mg", 1e-6, "milligram"], ["µg", 1e-9, "ug", "microgram"], ["t", 1e3, "tonne", "metric ton"],
    ["lb", POUND, "lbs", "pound"], ["oz", POUND / 16, "ounce"], ["st", 14 * POUND, "stone"], ["short ton", 2000 * POUND, "US ton"],
    ["long ton", 2240 * POUND], ["gr", POUND / 7000, "grain"],
  ],
  temperature: [
    ["K", 1, "kelvin"], ["°C", 1, "C", "degC", "celsius", { offset: 273.15 }],
    ["°F", 5 / 9, "F", "degF", "fahrenheit", { offset: 459.67 * 5 / 9 }], ["°R", 5 / 9, "R", "degR", "rankine"],
  ],
  pressure: [
    ["Pa", 1, "pascal"], ["hPa", 100, "hectopascal"], ["kPa", 1e3, "kilopascal"], ["MPa", 1e6, "megapascal"], ["bar", 1e5],
    ["mbar", 100, "millibar"], ["atm", 101325, "atmosphere"], ["psi", POUND * GRAVITY / INCH ** 2], ["mmHg", 133.322387415],
    ["Torr", 101325 / 760], ["inHg", 3386.388640341], ["mmH2O", GRAVITY], ["inH2O", 249.08891],
  ],
  flow: [
    ["m³/s", 1, "m3/s"], ["m³/h", 1 / 3600, "m3/h"], ["m³/min", 1 / 60, "m3/min"], ["l/s", 1e-3, "L/s"], ["l/min", 1e-3 / 60, "L/min", "lpm"],
    ["l/h", 1e-3 / 3600, "L/h"], ["ml/min", 1e-6 / 60, "mL/min"], ["gpm", GALLON / 60, "gal/min"], ["gph", GALLON / 3600, "gal/h"],
    ["cfm", (12 * INCH) ** 3 / 60, "ft³/min", "ft3/min"], ["ft³/s", (12 * INCH) ** 3, "ft3/s", "cfs"], ["bbl/d", 42 * GALLON / 86400, "bpd"],
  ],
  "mass flow": [["kg/s", 1], ["kg/h", 1 / 3600], ["kg/min", 1 / 60], ["g/s", 1e-3], ["t/h", 1e3 / 3600], ["lb/s", POUND], ["lb/min", POUND / 60], ["lb/h", POUND / 3600]],
  energy: [
    ["J", 1, "joule"], ["kJ", 1e3, "kilojoule"], ["MJ", 1e6, "megajoule"], ["GJ", 1e9], ["Wh", 3600, "watt hour"], ["kWh", 3.6e6, "kilowatt hour"],
    ["MWh", 3.6e9, "megawatt hour"], ["cal", 4.184, "calorie"], ["kcal", 4184, "kilocalorie"], ["BTU", 1055.05585262], ["therm", 105505585.262],
    ["eV", 1.602176634e-19, "electronvolt"], ["ft lbf", 12 * INCH * POUND * GRAVITY, "foot pound"],
  ],
  power: [
    ["W", 1, "watt"], ["mW", 1e-3, "milliwatt"], ["kW", 1e3, "kilowatt"], ["MW", 1e6, "megawatt"], ["GW", 1e9, "gigawatt"],
    ["hp", 550 * 12 * INCH * POUND * GRAVITY, "horsepower"], ["PS", 75 * GRAVITY, "metric horsepower"], ["BTU/h", 1055.05585262 / 3600],
  ],
  force: [["N", 1, "newton"], ["kN", 1e3, "kilonewton"], ["mN", 1e-3, "millinewton"], ["kgf", GRAVITY, "kp"], ["lbf", POUND * GRAVITY, "pound force"], ["dyn", 1e-5, "dyne"]],
  torque: [["N m", 1, "Nm", "N·m", "newton meter", "newton metre"], ["kgf m", GRAVITY], ["lbf ft", 12 * INCH * POUND * GRAVITY, "lb ft"], ["lbf in", INCH * POUND * GRAVITY, "lb in"]],
  angle: [
    ["rad", 1, "radian"], ["mrad", 1e-3, "milliradian"], ["°", Math.PI / 180, "deg", "degree"], ["grad", Math.PI / 200, "gon"],
    ["arcmin", Math.PI / 10800, "arcminute"], ["arcsec", Math.PI / 648000, "arcsecond"], ["turn", 2 * Math.PI, "rev", "revolution"],
  ],
  speed: [
    ["m/s", 1], ["km/h", 1 / 3.6, "kmh", "kph"], ["mm/s", 1e-3], ["m/min", 1 / 60], ["mph", 0.44704, "mi/h"], ["kn", 1852 / 3600, "knot", "kt"],
    ["ft/s", 12 * INCH, "fps"], ["ft/min", 12 * INCH / 60, "fpm"],
  ],
  "rotational speed": [["rad/s", 1], ["rpm", Math.PI / 30, "rev/min"], ["rps", 2 * Math.PI, "rev/s"], ["°/s", Math.PI / 180, "deg/s"]],
  frequency: [["Hz", 1, "hertz"], ["kHz", 1e3], ["MHz", 1e6], ["GHz", 1e9], ["mHz", 1e-3]],
  time: [
    ["s", 1, "sec", "second"], ["ms", 1e-3, "millisecond"], ["µs", 1e-6, "us", "microsecond"], ["ns", 1e-9, "nanosecond"], ["min", 60, "minute"],
    ["h", 3600, "hr", "hour"], ["d", 86400, "day"], ["wk", 604800, "week"],
  ],
  data: [
    ["B", 1, "byte"], ["bit", 1 / 8, "b"], ["kB", 1e3, "kilobyte"], ["MB", 1e6, "megabyte"], ["GB", 1e9, "gigabyte"], ["TB", 1e12, "terabyte"],
    ["PB", 1e15, "petabyte"], ["KiB", 1024, "kibibyte"], ["MiB", 1024 ** 2, "mebibyte"], ["GiB", 1024 ** 3, "gibibyte"], ["TiB", 1024 ** 4, "tebibyte"],
    ["PiB", 1024 ** 5, "pebibyte"], ["kbit", 125, "kb", "kilobit"], ["Mbit", 125e3, "Mb", "megabit"], ["Gbit", 125e6, "Gb", "gigabit"],
  ],
  "data rate": [["B/s", 1], ["bit/s", 1 / 8, "bps"], ["kbit/s", 125, "kbps"], ["Mbit/s", 125e3, "Mbps"], ["Gbit/s", 125e6, "Gbps"], ["kB/s", 1e3], ["MB/s", 1e6], ["GB/s", 1e9], ["KiB/s", 1024], ["MiB/s", 1024 ** 2], ["GiB/s", 1024 ** 3]],
};

const exact = new Map();
const folded = new Map(); // a folded name that means two units is there as null

for (const [kind, rows] of Object.entries(KINDS)) {
  for (const [symbol, factor, ...rest] of rows) {
    const offset = rest.find((each) => typeof each === "object")?.offset ?? 0;
    const unit = { kind, symbol, factor, offset };
    for (const name of [symbol, ...rest.filter((each) => typeof each === "string")]) {
      for (const spelling of name.length > 3 && !/[0-9²³/]$/.test(name) ? [name, `${name}s`] : [name]) {
        exact.set(spelling, unit);
        const key = spelling.toLowerCase();
        folded.set(key, folded.has(key) && folded.get(key) !== unit ? null : unit);
      }
    }
  }
}

function unitNamed(name) {
  const spelling = String(name).trim().replace("μ", "µ"); // the Greek letter for the micro sign
  const unit = exact.get(spelling) ?? folded.get(spelling.toLowerCase());
  if (unit) return unit;
  if (unit === null) throw `several units are written \`${spelling}\` when case does not count: write it exactly, as the tool \`units\` lists it`;
  throw `no unit is called \`${spelling.slice(0, 60)}\`: the tool \`units\` lists those that are`;
}

// Twelve digits: more than any instrument has, and 0.1 stays 0.1 on its way through a factor.
const rounded = (value) => Number(value.toPrecision(12));

function convert({ value, from, to }) {
  if (typeof from !== "string" || typeof to !== "string") throw "`from` and `to` are names of units";
  const source = unitNamed(from);
  const target = unitNamed(to);
  if (source.kind !== target.kind) throw `\`${source.symbol}\` is a unit of ${source.kind}, \`${target.symbol}\` one of ${target.kind}`;
  const one = (number) => {
    if (typeof number !== "number" || !Number.isFinite(number)) throw "`value` is a number, or an array of numbers";
    const result = source === target ? number : rounded((number * source.factor + source.offset - target.offset) / target.factor);
    if (!Number.isFinite(result)) throw "the result is too large for a number";
    return result;
  };
  return { value: Array.isArray(value) ? value.map(one) : one(value), unit: target.symbol, from: source.symbol, kind: source.kind };
}

function units({ kind }) {
  if (kind !== undefined && !Object.hasOwn(KINDS, kind)) throw `no such kind: there are ${Object.keys(KINDS).join(", ")}`;
  const kinds = {};
  for (const each of kind === undefined ? Object.keys(KINDS) : [kind]) kinds[each] = KINDS[each].map(([symbol]) => symbol);
  return { kinds };
}

export const tool = {
  // The manifest tells the tools.
  listTools: () => "[]",

  callTool(name, text) {
    const serve = { convert, units }[name];
    if (!serve) throw `no tool \`${name}\``;
    return JSON.stringify({ structuredContent: serve(JSON.parse(text)) });
  },
};
