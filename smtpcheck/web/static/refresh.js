// Fetches the page again and puts its live parts in place; focus, what is typed and what is unfolded stay.
// Also: filters as you type, shows times in the reader's zone, copies a ticket. Without it every page works as it is.
"use strict";
{
  const seconds = Number(document.currentScript.dataset.seconds);
  const selecting = () => !document.getSelection().isCollapsed;

  const keyOf = (element) => element.id ? `#${CSS.escape(element.id)}`
    : element.getAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;

  const replace = (part, fresh) => {
    const focused = part.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const unfolded = [...part.querySelectorAll("details[id]")];
    part.replaceWith(fresh);
    for (const { id, open } of unfolded) document.getElementById(id)?.toggleAttribute("open", open);
    if (focused) fresh.querySelector(focused)?.focus({ preventScroll: true });
  };

  // Clock times and dates are in UTC as they come; the reader's own time goes before it.
  const localize = (root) => {
    const sameZone = new Date().getTimezoneOffset() === 0;
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const utc = time.title || time.dateTime.replace("T", " ").replace("Z", " UTC");
      time.title = sameZone ? utc : `${at.toLocaleString()} (${utc})`;
      if (time.classList.contains("clock") && !sameZone) time.textContent = `${at.toLocaleTimeString()} (${time.textContent})`;
    }
  };

  const show = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    document.title = page.title;
    const icon = page.querySelector("link[rel=icon]");
    if (icon) document.querySelector("link[rel=icon]").href = icon.getAttribute("href");
    localize(page);
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) replace(part, document.adoptNode(fresh));
    }
  };

  const stale = document.getElementById("stale");
  let answered = new Date();
  const load = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
    stale.hidden = Boolean(answer?.ok);
    if (!answer?.ok) {
      stale.textContent = `No answer since ${answered.toLocaleTimeString()}: what you see is old.`;
      return;
    }
    answered = new Date();
    show(await answer.text());
  };

  let latest = 0;
  const filter = document.getElementById("filter");
  const narrow = async () => {
    const number = ++latest;
    await new Promise((done) => setTimeout(done, 200));
    if (number !== latest) return;
    const query = [...new FormData(filter)].filter(([, value]) => value);
    const address = `?${new URLSearchParams(query)}`;
    window.history.replaceState(null, "", address);
    await load(address);
  };
  filter?.addEventListener("input", narrow);

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const field = filter?.querySelector("input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.select();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copies]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copies);
    source.select();
    const copied = await navigator.clipboard?.writeText(source.value).then(() => true, () => false);
    button.textContent = copied ? "Copied" : "Press Ctrl+C to copy";
  });
  for (const button of document.querySelectorAll("button[data-copies]")) button.hidden = false;

  // What a button brought is said once, not again with every visit of the address.
  const brought = new URL(location.href);
  if (brought.searchParams.has("ran") || brought.searchParams.has("wait")) {
    brought.searchParams.delete("ran");
    brought.searchParams.delete("wait");
    window.history.replaceState(null, "", brought);
    setTimeout(() => document.getElementById("brought")?.remove(), 20000);
  }

  localize(document);
  if (seconds) {
    setInterval(() => document.hidden || selecting() || load(location.href), seconds * 1000);
    document.addEventListener("visibilitychange", () => document.hidden || selecting() || load(location.href));
  }
}
