// The storefront's script. The pages come from the server with all they say; the script keeps them current, and sends what
// buyers want so that nothing is lost and nothing is bought twice.

import Alpine from "@alpinejs/csp";
import { startClock } from "../shared/api";
import { localizeAmounts, localizeTimes } from "../shared/words";
import { auction } from "./auction";
import { drop } from "./drop";
import { order } from "./order";
import { takeToken } from "./session";

takeToken();
startClock(Number(document.documentElement.dataset["now"]));
localizeTimes(document);
localizeAmounts(document);
Alpine.data("drop", drop);
Alpine.data("order", order);
Alpine.data("auction", auction);
Alpine.start();
