// Fetches the page again and puts its live parts in place; focus, what is typed and what is unfolded stay.
"use strict";
{
  const seconds = Number(document.currentScript.dataset.seconds);
  const selecting = () => !document.getSelection().isCollapsed;

  const keyOf = (element) => element.id ? `#${CSS.escape(element.id)}`
    : element.getAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;

  const replace = (part, fresh) => {
    const focused = part.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    const unfolded = [...part.querySelectorAll("details[open][id]")].map((element) => element.id);
    part.replaceWith(fresh);
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
    if (focused) fresh.querySelector(focused)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden || selecting()) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    document.documentElement.classList.toggle("stale", !answer?.ok);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) replace(part, document.adoptNode(fresh));
    }
  };

  setInterval(refresh, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
}
