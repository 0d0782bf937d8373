// The search in the header: `/` and Ctrl-K lead to it, arrow keys and Enter choose, Escape closes. Works without, too.
(() => {
  "use strict";

  const field = () => document.getElementById("find-field");
  const results = () => document.getElementById("find-results");
  const options = () => [...results().querySelectorAll("[role=option]")];
  const active = () => options().find((option) => option.getAttribute("aria-selected") === "true");

  const show = (open) => {
    results().hidden = !open;
    field().setAttribute("aria-expanded", String(open && options().length > 0));
    if (!open) choose(null);
  };
  const choose = (option) => {
    options().forEach((each) => each.setAttribute("aria-selected", String(each === option)));
    if (option) {
      field().setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else field().removeAttribute("aria-activedescendant");
  };
  const step = (by) => {
    const all = options();
    if (!all.length) return;
    if (results().hidden) show(true);
    const at = all.indexOf(active());
    choose(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length]);
  };

  const TICKED = ["checkbox", "radio", "button", "submit", "range", "color", "file"]; // fields without text
  const isTyping = (element) =>
    element.isContentEditable ||
    ["TEXTAREA", "SELECT"].includes(element.tagName) ||
    (element.tagName === "INPUT" && !TICKED.includes(element.type));
  // The other search fields, such as that of the home page, which has the focus when the page is there.
  const isOtherSearch = (element) => element !== field() && element.name === "q";
  document.addEventListener("keydown", (event) => {
    if (!field() || event.isComposing) return;
    const here = event.target;
    const slash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
    const k = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    if ((slash && (!isTyping(here) || (isOtherSearch(here) && !here.value)))
      || (k && (!isTyping(here) || here === field() || isOtherSearch(here)))) {
      event.preventDefault();
      field().focus();
      field().select();
      return;
    }
    if (event.target !== field()) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && active() && !results().hidden) {
      event.preventDefault();
      active().click();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (results().hidden) field().blur();
      else show(false);
    }
  });

  // Another text asks anew; until the answer has come, what the one before led to must not be chosen.
  document.addEventListener("input", (event) => {
    if (event.target !== field()) return;
    choose(null);
    if (!field().value.trim()) show(false);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.target === results()) show(field() === document.activeElement && field().value.trim() !== "");
  });
  for (const failed of ["htmx:responseError", "htmx:sendError"]) {
    document.addEventListener(failed, (event) => {
      if (event.target !== field()) return;
      results().textContent = field().dataset.away;
      show(true);
    });
  }
  document.addEventListener("focusin", (event) => {
    if (!field()) return;
    if (event.target === field()) show(results().childElementCount > 0 && field().value.trim() !== "");
    else if (!event.target.closest("[data-find]")) show(false);
  });
  document.addEventListener("pointerdown", (event) => {
    if (field() && !event.target.closest("[data-find]")) show(false);
  });
})();
