// Names of colleagues after an @ in a note, while one types: arrow keys and Enter choose, Escape closes. Works without.
(() => {
  "use strict";

  let field = null; // the one in which a name is being typed
  let box = null;
  let asked = 0;
  let timer = 0;

  const typed = (area) => {
    const before = area.value.slice(0, area.selectionStart);
    const found = before.match(/(?:^|[\s(,;])@([^\s@,;()]{0,150})$/u);
    return found ? found[1] : null;
  };
  const options = () => (box ? [...box.querySelectorAll("[role=option]")] : []);
  const active = () => options().find((option) => option.getAttribute("aria-selected") === "true");
  const choose = (option) => {
    options().forEach((each) => each.setAttribute("aria-selected", String(each === option)));
    if (field && option) field.setAttribute("aria-activedescendant", option.id);
  };
  const close = () => {
    asked += 1;
    box?.remove();
    box = null;
    field?.removeAttribute("aria-activedescendant");
  };
  const take = (option) => {
    const area = field;
    const end = area.selectionStart;
    const start = end - typed(area).length;
    area.setRangeText(`${option.dataset.name} `, start, end, "end");
    close();
    area.focus();
  };
  const show = (people) => {
    box?.remove();
    box = Object.assign(document.createElement("ul"), { className: "colleagues", id: "colleagues" });
    box.setAttribute("role", "listbox");
    box.setAttribute("aria-label", field.dataset.mentionsLabel);
    people.forEach((person, number) => {
      const option = Object.assign(document.createElement("li"), { id: `colleague-${number}` });
      option.setAttribute("role", "option");
      option.dataset.name = person.name;
      option.textContent = person.called ? `@${person.name} · ${person.called}` : `@${person.name}`;
      option.addEventListener("mousedown", (event) => { event.preventDefault(); take(option); });
      box.append(option);
    });
    field.after(box);
    field.setAttribute("aria-controls", "colleagues");
    choose(options()[0]);
  };
  const ask = async (area) => {
    const begins = typed(area);
    if (begins === null) { close(); return; }
    field = area;
    const mine = ++asked;
    try {
      const answer = await fetch(`${area.dataset.mentions}?begins=${encodeURIComponent(begins)}`, { redirect: "error" });
      const found = answer.ok ? (await answer.json()).people : [];
      if (mine !== asked) return;
      if (found.length) show(found); else close();
    } catch { close(); }
  };

  document.addEventListener("input", (event) => {
    if (!event.target.dataset?.mentions) return;
    clearTimeout(timer);
    timer = setTimeout(() => ask(event.target), 150);
  });
  document.addEventListener("keydown", (event) => {
    if (!box || event.target !== field || event.isComposing) return;
    const all = options();
    const at = all.indexOf(active());
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
    } else if (event.key === "Enter" || event.key === "Tab") {
      if (typed(field) === null) { close(); return; }
      event.preventDefault();
      take(active());
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    }
  });
  document.addEventListener("focusout", (event) => { if (event.target === field) close(); });
})();
