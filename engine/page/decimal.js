// Decimals as the engine writes them: exact, at most 8 places. They are BigInts of 10^-8 here; no float ever holds money.

const PLACES = 8;
const UNIT = 10n ** BigInt(PLACES);
const FORM = /^(-?)(\d{1,24})(?:\.(\d{1,8}))?$/;

/** The units of a decimal; null where the text is none. */
export function units(text) {
  const found = typeof text === "string" ? FORM.exec(text.trim()) : null;
  if (!found) return null;
  const [, sign, whole, part = ""] = found;
  const value = BigInt(whole) * UNIT + BigInt(part.padEnd(PLACES, "0"));
  return sign ? -value : value;
}

/** The shortest text of units, with at least `least` places. */
export function text(value, least = 0) {
  const size = value < 0n ? -value : value;
  const part = String(size % UNIT).padStart(PLACES, "0").replace(/0+$/, "").padEnd(least, "0");
  return `${value < 0n ? "-" : ""}${size / UNIT}${part ? "." : ""}${part}`;
}

/** The sum of decimals; null if one of them is not known. */
export function sum(decimals) {
  let total = 0n;
  for (const decimal of decimals) {
    const value = units(decimal);
    if (value === null) return null;
    total += value;
  }
  return text(total);
}

/** -1, 0 or 1; null where it is no decimal. */
export function sign(decimal) {
  const value = units(decimal);
  return value === null ? null : value > 0n ? 1 : value < 0n ? -1 : 0;
}

/** With at least two places, as prices are read; what is no decimal stays as it is. */
export function shown(decimal) {
  const value = units(decimal);
  return value === null ? String(decimal ?? "") : text(value, 2).replace("-", "\u2212");
}

/** An amount with its sign. */
export function signed(decimal) {
  return sign(decimal) > 0 ? `+${shown(decimal)}` : shown(decimal);
}

/** Hundredths of a percent as a percentage. */
export function percent(bps) {
  return Number.isInteger(bps) ? `${shown(text((BigInt(bps) * UNIT) / 100n))} %` : "";
}
