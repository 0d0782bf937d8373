// The reader's time zone, ages that are kept up to date, copy buttons, forms that are sent once. Every page works without.
(() => {
  "use strict";

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  const span = (seconds) => {
    if (seconds >= 172800) return `${Math.floor(seconds / 86400)} days`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h`;
    if (seconds >= 60) return `${Math.floor(seconds / 60)} min`;
    return `${seconds} s`;
  };
  const age = (moment) => {
    const seconds = Math.trunc((Date.now() - moment) / 1000);
    if (Math.abs(seconds) <= 1) return "just now";
    return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
  };
  const tick = () => {
    document.querySelectorAll("time[data-ago]").forEach((element) => {
      element.textContent = age(Date.parse(element.dateTime));
    });
  };
  setInterval(tick, 1000);

  // The theme hides the page until its scripts have loaded. A hidden field cannot take the focus, so it is set afterwards.
  const focus = () => {
    if (document.activeElement && document.activeElement !== document.body) return;
    document.querySelector("[autofocus]")?.focus();
  };
  document.addEventListener("alpine:initialized", () => requestAnimationFrame(focus));

  // How wide each colour of a bar is. A style attribute in the page is forbidden by the Content-Security-Policy.
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-share]").forEach((part) => { part.style.flexGrow = part.dataset.share; });
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
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = was; }, 1500);
    }
    if ("later" in button.dataset) button.closest("table").classList.add("all");
    if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) event.preventDefault();
  });

  // What was typed into this page's form before its reader was asked for her second factor, or was signed out.
  document.addEventListener("DOMContentLoaded", () => {
    const kept = document.getElementById("typed-text");
    if (!kept) return;
    Object.entries(JSON.parse(kept.textContent)).forEach(([name, value]) => {
      document.querySelectorAll(`form[method=post] [name="${CSS.escape(name)}"]`).forEach((field) => {
        if (["hidden", "password", "submit", "file"].includes(field.type)) return;
        if (["radio", "checkbox"].includes(field.type)) field.checked = field.value === value;
        else field.value = value;
      });
    });
  });

  // The server makes one operation even of two clicks. This only shows the reader that the first click was accepted.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("once" in form.dataset)) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    form.querySelectorAll("button").forEach((button) => { button.disabled = true; button.classList.add("busy"); });
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll("button").forEach((button) => { button.disabled = false; button.classList.remove("busy"); });
    });
  });
})();
