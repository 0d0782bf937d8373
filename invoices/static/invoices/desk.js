// The reader's time zone, ages that are kept up to date, copy buttons, forms that are sent once. Every page works without.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  const distance = (words, seconds) => {
    const [unit, length] = seconds >= 172800 ? ["days", 86400] : seconds >= 3600 ? ["h", 3600] : seconds >= 60 ? ["min", 60] : ["s", 1];
    return words[unit].replace("{count}", Math.floor(seconds / length));
  };
  const age = (words, moment) => {
    const seconds = Math.trunc((Date.now() - moment) / 1000);
    if (Math.abs(seconds) <= 1) return words.now;
    return words[seconds > 0 ? "past" : "future"].replace("{distance}", distance(words, Math.abs(seconds)));
  };
  const tick = () => {
    const words = JSON.parse(document.body.dataset.ages || "null");
    if (!words) return;
    document.querySelectorAll("time[data-ago]").forEach((element) => {
      element.textContent = age(words, Date.parse(element.dateTime));
    });
  };
  setInterval(tick, 1000);

  // The theme hides the page until its scripts have loaded. A hidden field cannot take the focus, so it is set afterwards.
  const focus = () => {
    if (document.activeElement && document.activeElement !== document.body) return;
    document.querySelector("[autofocus]")?.focus();
  };
  document.addEventListener("alpine:initialized", () => requestAnimationFrame(focus));

  // A form that was refused came in answer to a POST, which a browser does not go back to: its place in the history is
  // that of its page.
  document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector("form[data-shown-again]")) history.replaceState(history.state, "", location.href);
  });

  // How wide each colour of a bar is. A style attribute in the page is forbidden by the Content-Security-Policy.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-share]").forEach((part) => { part.style.flexGrow = part.dataset.share; });
  });

  // The state for which the page waited has come. What somebody has typed meanwhile is not thrown away: then a link asks.
  document.addEventListener("newest-state-is-in", () => {
    const typed = [...document.querySelectorAll("form[method=post] :is(textarea, input:not([type=hidden]))")];
    if (!typed.some((field) => field.value !== field.defaultValue)) location.reload();
  });

  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) {
      await copy(document.querySelector(button.dataset.copy).textContent.trim());
      const was = button.textContent;
      button.textContent = document.body.dataset.copied;
      setTimeout(() => { button.textContent = was; }, 1500);
    }
    if (button.dataset.fill) {
      const field = document.querySelector(button.dataset.fill);
      field.value = button.dataset.value;
      field.focus();
    }
    if ("later" in button.dataset) button.closest("table").classList.add("all");
    if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) event.preventDefault();
  });

  // What was typed into a form of this page that could not be sent: it is put back, and never sent by itself.
  const restore = (root, kept) => {
    const path = (address) => new URL(address, location.href).pathname;
    const sendsTo = (form) => [form.getAttribute("action") || location.href,
      ...Array.from(form.querySelectorAll("[formaction]"), (button) => button.getAttribute("formaction"))].map(path);
    const forms = Array.from(document.querySelectorAll("form[method=post]"));
    const own = forms.filter((form) => sendsTo(form).includes(kept.to));
    (own.length ? own : forms).forEach((form) => {
      Array.from(form.elements).forEach((field) => {
        if (!root.contains(field) || !field.name || field.dataset.restored) return;
        if (["hidden", "password", "submit", "button", "file"].includes(field.type)) return;
        const values = kept.fields[field.name];
        const ticks = ["radio", "checkbox"].includes(field.type);
        if (!values && !(field.type === "checkbox" && own.length)) return;
        if (ticks) field.checked = (values || []).includes(field.value);
        else if (field.type === "select-multiple") Array.from(field.options).forEach((option) => { option.selected = values.includes(option.value); });
        else field.value = values[0];
        field.dataset.restored = "1";
        const fold = field.closest("details");
        if (fold && values) fold.open = true;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      });
    });
  };
  document.addEventListener("DOMContentLoaded", () => {
    const element = document.getElementById("typed-text");
    if (!element) return;
    const kept = JSON.parse(element.textContent);
    setTimeout(() => restore(document, kept));
    document.addEventListener("htmx:load", (event) => restore(event.detail.elt, kept));
  });

  // The button of a form with an amount names it. While the amount is being typed the button names none, until the
  // server has read what was typed: it never shows another amount than the one that would be sent.
  const typed = (form) => [...form.querySelectorAll("input[inputmode=decimal]")];
  document.addEventListener("input", (event) => {
    const label = document.querySelector("#act-label[data-plain]");
    if (label && event.target.closest("#act") && event.target.inputMode === "decimal") label.textContent = label.dataset.plain;
  });
  window.addEventListener("pageshow", () => {
    const label = document.querySelector("#act-label[data-named]");
    const form = label && document.getElementById("act");
    if (!form) return;
    const changed = typed(form).filter((field) => field.value !== field.defaultValue); // by the browser, or as kept above
    if (changed.length) changed[0].dispatchEvent(new Event("input", { bubbles: true }));
    else label.textContent = label.dataset.named;
  });

  // The theme writes the name of a chosen file into the next field for text, whatever that is for: here, our account.
  document.addEventListener("change", (event) => { if (event.target.type === "file") event.stopPropagation(); }, true);

  // What scrolls sideways is reached by the keyboard, too.
  const reach = () => document.querySelectorAll(".scroll").forEach((part) => {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  });
  window.addEventListener("load", reach);
  window.addEventListener("resize", reach);
  document.addEventListener("htmx:load", reach);

  // The server makes one operation even of two clicks. This only shows the reader that the first click was accepted.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("once" in form.dataset)) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    form.querySelectorAll("button").forEach((button) => { button.disabled = true; button.classList.add("busy"); });
  });
  // A form that is sent in the background is shown as it is refused, and can be sent again.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.requestConfig.elt.matches("form[data-in-background]")) return;
    if ([400, 422].includes(event.detail.xhr.status)) Object.assign(event.detail, { shouldSwap: true, isError: false });
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.detail.requestConfig.elt;
    if (!form.matches("form[data-in-background]") || event.detail.xhr.getResponseHeader("HX-Redirect")) return;
    delete form.dataset.sent;
    form.querySelectorAll("button").forEach((button) => { button.disabled = false; button.classList.remove("busy"); });
    const said = form.querySelector("[data-said]"); // the button that had the focus was disabled: it goes to what is new
    (said?.querySelector(".wrong :is(input, select, textarea)") || said)?.focus();
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll("button").forEach((button) => { button.disabled = false; button.classList.remove("busy"); });
    });
  });
})();
