// Puts the theme on the page. The style sheet knows the rest.

import { settings, subscribe } from "./settings";

const dark = matchMedia("(prefers-color-scheme: dark)");
const contrast = matchMedia("(prefers-contrast: more)");

/** The system's own few colours: they are dark or light, whatever was chosen here. */
const forced = matchMedia("(forced-colors: active)");

export const isDark = () => (settings().theme === "system" || forced.matches ? dark.matches : settings().theme === "dark");

function show() {
  const { dataset } = document.documentElement;
  dataset["theme"] = isDark() ? "dark" : "light";
  dataset["contrast"] = settings().contrast === "more" || contrast.matches || forced.matches ? "more" : "normal";
}

export function followTheme() {
  show();
  subscribe(show);
  dark.addEventListener("change", show);
  contrast.addEventListener("change", show);
  forced.addEventListener("change", show);
}
