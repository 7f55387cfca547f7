import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import globals from "globals";

// ESLint runs at the root of the repository. tsc finds names that are not defined, with their types.
export default defineConfig({
  files: ["viewer/web/src/**/*.js"],
  extends: [js.configs.recommended],
  languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: { ...globals.browser, tasksVision: "readonly" } },
  linterOptions: { reportUnusedDisableDirectives: "error" },
});
