// Puts the theme on the page. The style sheet knows the rest.

import { settings, subscribe } from "./settings";

const dark = matchMedia("(prefers-color-scheme: dark)");
const contrast = matchMedia("(prefers-contrast: more)");

export const isDark = () => (settings().theme === "system" ? dark.matches : settings().theme === "dark");

function show() {
  const { dataset } = document.documentElement;
  dataset["theme"] = isDark() ? "dark" : "light";
  dataset["contrast"] = settings().contrast === "more" || contrast.matches ? "more" : "normal";
}

export function followTheme() {
  show();
  subscribe(show);
  dark.addEventListener("change", show);
  contrast.addEventListener("change", show);
}
