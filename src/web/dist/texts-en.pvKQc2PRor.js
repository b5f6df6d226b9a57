globalThis.firstcomeTexts={"time.days.one":"{n} day {clock}","time.days.other":"{n} days {clock}"};
