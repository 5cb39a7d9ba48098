import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import { useEventStream } from "./use-event-stream.js";

const KEPT = 20;

// What is shown is kept as the place in the stream is: a refresh goes on with both.
const saved = () => JSON.parse(sessionStorage.getItem("prices") ?? "[]");
const save = (prices) => {
  sessionStorage.setItem("prices", JSON.stringify(prices));
  return prices;
};

function Prices() {
  const [prices, setPrices] = useState(saved);
  const [missed, setMissed] = useState(null);
  const state = useEventStream("/events", {
    price: (price) => setPrices(save([price, ...saved()].slice(0, KEPT))),
    gap: (gap) => setMissed(gap.missed ?? "some"),
  });
  return h("main", null,
    h("p", { role: "status" }, state),
    missed !== null && h("p", { role: "alert" }, `You missed ${missed} prices.`),
    h("ul", null, prices.map(({ number, price }, i) => h("li", { key: i }, `#${number}: ${price}`))),
  );
}

createRoot(document.getElementById("root")).render(h(Prices));
