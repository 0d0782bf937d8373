// Lets the theme's templates run in Alpine's CSP build, which evaluates no text as a script (third_party/README.md).
//
// That build reads one expression without globals, without functions, and without a sequence of statements. What the
// theme writes beyond that is put here as a function, and the attribute is rewritten before Alpine reads it, also on
// what htmx brings later. tests/test_surface_browser.py walks the pages and fails on an expression that is not read.
(() => {
  "use strict";

  // The style sheet that htmx would write into the page, and texts that it would evaluate: both are forbidden.
  htmx.config.includeIndicatorStyles = false;
  htmx.config.allowEval = false;

  const SIDEBAR = "sidebarDesktopOpen";

  // The body's data. `firstTab` is the tab of a form that is shown unless the address names another.
  const page = (firstTab) => ({
    activeTab: getCurrentTab() || firstTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(SIDEBAR) !== "0",
    init() {
      this.$watch(SIDEBAR, (open) => localStorage.setItem(SIDEBAR, open ? "1" : "0"));
    },
    formAction(tab) {
      const { pathname, search } = window.location;
      return pathname + search + (tab && tab !== "general" ? `#${tab}` : "");
    },
    chooseResult(search, event, keepsHistory) {
      if (!event.metaKey && !event.ctrlKey) search.selectItem(keepsHistory, false);
    },
  });

  // [attribute, what the theme's value looks like, what is read instead]
  const REWRITTEN = [
    ["x-data", /^\s*\{\s*(?:activeTab: '([^']*)',)?\s*sidebarMobileOpen/, (found) => `page('${found[1] || ""}')`],
    ["x-init", /\$watch\('sidebarDesktopOpen'/, () => null],
    ["x-on:click", /^sidebarDesktopOpen = !sidebarDesktopOpen;/, () => "sidebarDesktopOpen = !sidebarDesktopOpen"],
    ["x-bind:action", /^activeTab && activeTab !== 'general' \? window/, () => "formAction(activeTab)"],
    ["x-bind:style", /^'width: ' \+ changeListWidth \+ 'px'$/, () => "{width: changeListWidth + 'px'}"],
    [
      "x-on:keydown.enter.prevent",
      /^if \(!\$event\.metaKey && !\$event\.ctrlKey\) selectItem\((true|false), false\)$/,
      (found) => `chooseResult($data, $event, ${found[1]})`,
    ],
  ];

  document.addEventListener("alpine:init", () => {
    Alpine.data("page", page);
    for (const name of ["theme", "searchForm", "searchCommand"]) Alpine.data(name, window[name]);
    Alpine.interceptInit((element) => {
      for (const [attribute, pattern, instead] of REWRITTEN) {
        const found = pattern.exec(element.getAttribute(attribute) ?? "");
        if (!found) continue;
        const value = instead(found);
        if (value === null) element.removeAttribute(attribute);
        else element.setAttribute(attribute, value);
      }
    });
  });
})();
