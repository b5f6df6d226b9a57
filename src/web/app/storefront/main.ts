import Alpine from "@alpinejs/csp";
import { startClock } from "../shared/api";
import { localizeTimes } from "../shared/words";

startClock(Number(document.documentElement.dataset["now"]));
localizeTimes(document);
Alpine.start();
