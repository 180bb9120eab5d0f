import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import { defineConfig, globalIgnores } from "eslint/config";
import ts from "typescript-eslint";

// Text between tags, and attributes that are read out: as they stand, or chosen among.
const [LETTERS, ATTRIBUTES] = ["/\\p{L}/u", "/^(alt|placeholder|title|aria-(label|description|roledescription|valuetext))$/"];
const TEXT = `:matches(Literal[value=${LETTERS}], TemplateElement[value.cooked=${LETTERS}])`;
const CHOSEN = ":matches(ConditionalExpression, LogicalExpression, TemplateLiteral, BinaryExpression[operator='+'])";
const SPOKEN = [":matches(JSXElement, JSXFragment) >", `JSXAttribute[name.name=${ATTRIBUTES}] >`].flatMap((within) => [
  `${within} :matches(JSXText, Literal)[value=${LETTERS}]`, ...["", `${CHOSEN} >`, `${CHOSEN} > ${CHOSEN} >`].map((between) => `${within} JSXExpressionContainer > ${between} ${TEXT}`),
]);

// Of Node, and of the page that tests look into.
const GLOBALS = ["process", "console", "fetch", "setTimeout", "URL", "URLSearchParams", "performance", "localStorage", "PerformanceObserver", "MutationObserver", "DOMParser", "NodeFilter", "PopStateEvent", "document", "window", "location", "history", "navigator", "getComputedStyle", "Buffer", "requestAnimationFrame"];

export default defineConfig(
  globalIgnores(["dist", "src/api/schema.ts"]),
  js.configs.recommended,
  ts.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: { allowDefaultProject: ["*.js", "*.mjs", "e2e/*.mjs"] }, tsconfigRootDir: import.meta.dirname } } },
  hooks.configs.flat["recommended-latest"],
  {
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // What telemetry says is shown as text, never as markup; what the page says stands in words.ts.
      "no-restricted-syntax": ["error",
        { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: "Nothing from telemetry is HTML." },
        { selector: "MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML)$/]", message: "Nothing from telemetry is HTML." },
        ...SPOKEN.map((selector) => ({ selector, message: "What the page says stands in src/words.ts." })),
      ],
    },
  },
  { files: ["src/**/*.test.tsx", "e2e/*.mjs"], rules: { "no-restricted-syntax": "off" } },
  { files: ["*.js", "**/*.mjs"], extends: [ts.configs.disableTypeChecked], languageOptions: { globals: Object.fromEntries(GLOBALS.map((name) => [name, "readonly"])) } },
);
