globalThis.firstcomeTexts={"time.days.one":"{n} ngày {clock}","time.days.other":"{n} ngày {clock}"};
