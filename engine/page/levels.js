// Stop-loss and target of a strategy, changed where they stand. What is saved names the version that was looked at: if the
// strategy has changed meanwhile, the page says to what, and saving once more is a decision.

import { part, write } from "./api.js";
import { shown, sign } from "./decimal.js";
import { button, el, mark, say } from "./dom.js";

const LEVELS = { stop_loss: "Stop-loss", take_profit: "Target" };

/** A fact with a button to change it. `does` has `looked()`, the strategy that is looked at, `read()`, the same as the engine has
 * it, and `saved(strategy)`, which hears of it as it is then. */
export class Level {
  #name;
  #does;
  #value = el("span", {});
  #edit;
  #form;
  #input;
  #error;
  /** The strategy as it was when editing began, or when a conflict was shown. */
  #before = null;

  constructor(name, does) {
    [this.#name, this.#does] = [name, does];
    const label = LEVELS[name];
    const about = `${name}-error`;
    this.#edit = button("Edit", { class: "small", "aria-label": `Edit ${label.toLowerCase()}`, "data-edit": name }, () => this.#begin());
    this.#input = el("input", { name, inputmode: "decimal", autocomplete: "off", placeholder: "none", "aria-label": `${label}, empty for none`, "aria-describedby": about });
    this.#error = el("p", { id: about, class: "error", role: "alert", hidden: true });
    const cancel = button("Cancel", { class: "small" }, () => this.#end());
    this.#form = el("form", { class: "level-form", hidden: true, novalidate: true }, this.#input, el("button", { type: "submit", class: "small primary" }, "Save"), cancel, this.#error);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#form.addEventListener("keydown", (event) => event.key === "Escape" && this.#end());
    this.pair = el("div", { "data-level": name }, el("dt", {}, label), el("dd", {}, this.#value, " ", this.#edit, this.#form));
  }

  /** Shows what is set. What is being typed is left alone; another strategy ends it. */
  show(strategy) {
    if (this.#before && (this.#before.id !== strategy.id || this.#before.user_id !== strategy.user_id)) this.#end(false);
    say(this.#value, this.#words(strategy));
  }

  #words(strategy) {
    const value = strategy.fields[this.#name];
    return value ? shown(value) : "none";
  }

  #begin() {
    this.#before = this.#does.looked();
    if (!this.#before) return;
    this.#input.value = this.#before.fields[this.#name] ?? "";
    this.#complain("");
    this.#form.hidden = false;
    this.#edit.hidden = true;
    this.#input.focus();
    this.#input.select();
  }

  #end(focus = true) {
    this.#before = null;
    this.#form.hidden = true;
    this.#edit.hidden = false;
    if (focus) this.#edit.focus();
  }

  #complain(text) {
    this.#error.hidden = !text;
    say(this.#error, text);
    mark(this.#input, "aria-invalid", text ? "true" : null);
    if (text) this.#input.focus();
  }

  async #save() {
    const text = this.#input.value.trim();
    if (text && sign(text) !== 1) return this.#complain(`${LEVELS[this.#name]} is not a price such as ${shown("2500")}; leave it empty for none.`);
    const before = this.#before;
    const { user_id, id, version } = before;
    const path = `/api/v1/strategies/${part(id)}?${new URLSearchParams({ user_id })}`;
    const controls = this.#form.querySelectorAll("button");
    for (const control of controls) control.disabled = true;
    try {
      this.#does.saved(await write("PATCH", path, { fields: { [this.#name]: text || null } }, { "If-Match": `"${version}"` }));
      if (this.#before === before) this.#end();
    } catch (error) {
      // Another strategy may be looked at by now.
      if (this.#before !== before) return;
      if (error.code === "VERSION_CHANGED") await this.#conflict(error);
      else this.#complain(error.unknown ? `${error.message} It may have been changed all the same: look before you repeat it.` : error.message);
    } finally {
      for (const control of controls) control.disabled = false;
    }
  }

  /** Shows what it is now; saving again replaces that. */
  async #conflict(error) {
    const now = await this.#does.read().catch(() => null);
    if (!now || !this.#before) return this.#complain(error.message);
    this.#before = now;
    this.#complain(`The strategy was changed meanwhile: ${LEVELS[this.#name].toLowerCase()} is ${this.#words(now)} now (version ${now.version}). Save again to put yours in its place.`);
  }
}
