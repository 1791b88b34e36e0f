// <time datetime data-relative>: relative in the text, absolute on hover, in the page's language.
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [86400 * 30, "day", 86400],
  [86400 * 365, "month", 86400 * 30], [Infinity, "year", 86400 * 365]];

/** "12 s ago", "in 3 h"; a moment that should be past but is not yet (clock skew) is "now". */
export function relativeText(then, now, language = "en", { future = false } = {}) {
  let seconds = Math.round((then - now) / 1000);
  if (!future && seconds > 0 && seconds < 120) seconds = 0;
  const [, unit, size] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" });
  return format.format(future ? Math.round(seconds / size) : Math.trunc(seconds / size), unit);
}

export function paintTime(element, now = Date.now()) {
  const then = Date.parse(element.dateTime);
  if (Number.isNaN(then)) return;
  const language = document.documentElement.lang || "en";
  const text = relativeText(then, now, language, { future: element.dataset.relative === "future" });
  if (element.textContent !== text) element.textContent = text;
  if (element.dataset.painted === element.dateTime) return;
  element.dataset.painted = element.dateTime;
  element.title = new Date(then).toLocaleString(language, { dateStyle: "full", timeStyle: "long" });
}

export function paintTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-relative]")) paintTime(element);
}

/** Fresh moments tick every second, old ones need no more than the same pass. */
export function startTimes() {
  paintTimes();
  setInterval(() => { if (!document.hidden) paintTimes(); }, 1000);
}
