// Light, dark or the system's choice; remembered on this device only.
const KEY = "fleetd.theme";
const dark = () => window.matchMedia("(prefers-color-scheme: dark)");

export function chosenTheme() {
  try {
    return localStorage.getItem(KEY) || "auto";
  } catch {
    return "auto"; // storage is blocked: follow the system
  }
}

export function applyTheme(choice = chosenTheme()) {
  const theme = choice === "auto" ? (dark().matches ? "dark" : "light") : choice;
  document.documentElement.setAttribute("data-bs-theme", theme);
}

export function chooseTheme(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch { /* not remembered, still applied */ }
  applyTheme(choice);
  markThemeButtons();
}

export function markThemeButtons() {
  const choice = chosenTheme();
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
}

export function startTheme() {
  dark().addEventListener("change", () => applyTheme());
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (button) chooseTheme(button.dataset.themeChoice);
  });
  markThemeButtons();
}
