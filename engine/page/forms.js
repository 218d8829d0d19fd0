// Dialogs: signing in, confirming, creating. The browser keeps the focus inside and gives it back afterwards.

import { $, button, say } from "./dom.js";
import { shown, sign } from "./decimal.js";

const PRICES = ["stop_loss", "take_profit"];

for (const dialog of document.querySelectorAll("dialog")) {
  for (const cancel of dialog.querySelectorAll("[data-close]")) cancel.addEventListener("click", () => dialog.close());
}
// Nothing can be done before somebody is known.
$("login").addEventListener("cancel", (event) => event.preventDefault());

function trouble(node, text) {
  node.hidden = !text;
  say(node, text ?? "");
}

function busy(form, is) {
  for (const control of form.querySelectorAll("button")) control.disabled = is;
}

/** Asks for a token; `check(token)` throws where it is not good. Does nothing while it asks already. */
export function login(why, check) {
  const [dialog, form] = [$("login"), $("login-form")];
  trouble($("login-error"), why);
  form.onsubmit = async (event) => {
    event.preventDefault();
    busy(form, true);
    try {
      await check(form.elements.token.value.trim());
      form.reset();
      dialog.close();
    } catch (error) {
      trouble($("login-error"), error.message);
      form.elements.token.select();
    } finally {
      busy(form, false);
    }
  };
  if (!dialog.open) dialog.showModal();
}

/** Asks before something is done. `choices` are `{text, look, does}`; the dialog stays, with the reason, where that fails. */
export function confirm({ title, text, reason = false, choices }) {
  const [dialog, form, opener] = [$("confirm"), $("confirm-form"), document.activeElement];
  say($("confirm-title"), title);
  say($("confirm-text"), text);
  form.reset();
  $("confirm-reason").hidden = !reason;
  form.elements.reason.required = reason;
  trouble($("confirm-error"), "");
  const choose = async (does) => {
    if (!form.reportValidity()) return;
    busy(form, true);
    try {
      await does(form.elements.reason.value.trim());
      dialog.close();
      // What it was opened from may be gone with what it did.
      if (!opener?.isConnected) ($("detail").hidden ? $("main") : $("detail-title")).focus();
    } catch (error) {
      trouble($("confirm-error"), error.unknown ? `${error.message} It may have been done all the same: look before you repeat it.` : error.message);
    } finally {
      busy(form, false);
    }
  };
  $("confirm-choices").replaceChildren(...choices.map(({ text, look, does }) => button(text, { class: look }, () => choose(does))));
  // Enter in the reason must not choose.
  form.onsubmit = (event) => event.preventDefault();
  dialog.showModal();
}

/** What is wrong with what was typed in, as far as the page can tell; the engine has the last word. */
function complaint(form) {
  const field = (name) => form.elements[name].value.trim();
  for (const control of form.elements) {
    if (control.validity && !control.validity.valid && control.name) {
      const name = control.closest("label")?.firstChild.textContent.trim() ?? control.name;
      return [control, control.validity.valueMissing ? `${name} is missing.` : `${name} is not of the right form.`];
    }
  }
  if (sign(field("quantity")) !== 1) return [form.elements.quantity, "Quantity is not a number above 0, with at most 8 decimals."];
  for (const name of PRICES) {
    const label = name === "stop_loss" ? "Stop-loss" : "Target";
    if (field(name) && sign(field(name)) !== 1) return [form.elements[name], `${label} is not a price such as ${shown("2500")}.`];
  }
  return null;
}

/** Times of the browser leave seconds out where they are 0; the engine takes both. */
function strategy(form, needsUser) {
  const { user_id, id, ...fields } = Object.fromEntries(new FormData(form));
  const given = Object.entries(fields).map(([name, value]) => [name, value.trim()]);
  const said = { id: id.trim(), fields: Object.fromEntries(given.filter(([, value]) => value !== "")) };
  return needsUser ? { ...said, user_id: user_id.trim() } : said;
}

/** Asks for a new strategy; `does(strategy)` creates it and throws where it cannot. */
export function create({ needsUser, user }, does) {
  const [dialog, form] = [$("create"), $("create-form")];
  const error = $("create-error");
  $("create-user-field").hidden = !needsUser;
  form.elements.user_id.required = needsUser;
  form.elements.user_id.disabled = !needsUser;
  if (needsUser && user) form.elements.user_id.value = user;
  trouble(error, "");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const wrong = complaint(form);
    for (const control of form.elements) control.removeAttribute("aria-invalid");
    if (wrong) {
      trouble(error, wrong[1]);
      wrong[0].setAttribute("aria-invalid", "true");
      return wrong[0].focus();
    }
    busy(form, true);
    try {
      await does(strategy(form, needsUser));
      form.reset();
      dialog.close();
    } catch (why) {
      trouble(error, why.unknown ? `${why.message} It may have been created all the same: look before you repeat it.` : why.message);
      error.focus();
    } finally {
      busy(form, false);
    }
  };
  dialog.showModal();
}
