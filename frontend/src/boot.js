// Runs before the first paint, so that the chosen theme never flashes.
import { applyTheme } from "./theme.js";

applyTheme();
