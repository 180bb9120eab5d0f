import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { followTheme } from "./theme";
import "./style/tokens.css";
import "./style/shell.css";
import "./style/map.css";
import "./style/parts.css";
import "./style/charts.css";
import "./style/panel.css";
import "./style/views.css";
import "./style/device.css";

followTheme();
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root");
createRoot(root).render(<StrictMode><App /></StrictMode>);
