// Elements made without markup: what comes from a model or a database is only ever the text of a node.

// Trusted Types: no text becomes HTML here. Vega-Embed empties its element with "" and is itself loaded from #vega.
if (window.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createHTML: (text) => (text === "" ? text : null),
    createScript: (text) => (text === byId("vega").textContent ? text : null),
  });
}

function byId(id) {
  return document.getElementById(id);
}

// element("p", {class: "why", title: "…"}, "text", node, null): attributes that are null or false are left out.
function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Control characters, and those that turn the direction of a text, would hide what is there: they are shown by name.
const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

function visible(text) {
  return text.replace(UNSEEN, (sign) => {
    const code = sign.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

// A text of the turns: itself, or [beginning, number of characters left out].
function whole(text) {
  return Array.isArray(text) ? text[0] : text;
}

function leftOut(text) {
  return Array.isArray(text) ? element("span", { class: "cut" }, t("turn.cut", { n: count(text[1]) })) : null;
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
