/**
 * A Google Sheet as an endpoint of the outbox: one row per event, in the columns of HEADINGS.
 *
 * Set-up: src/outbox/README.md, "A Google Sheet". TOKEN is a script property, so it is in no copy of this text.
 * Google runs `doPost` first and answers with a redirect afterwards; a script that throws answers without one. So
 * `outbox.success_redirects` makes the redirect, and nothing else, the sign that the row is there.
 */
const HEADINGS = ['seq', 'time', 'type', 'order', 'code', 'buyer', 'drop', 'sku', 'quantity', 'amount', 'currency'];

/** Rows at the end of the sheet among which a repeated event is looked for. Repeats come within days, not months. */
const ROWS_COMPARED = 20000;

function doPost(request) {
  // A web app sees no headers of a request, so the signature cannot be verified here: the URL carries a secret instead.
  const token = PropertiesService.getScriptProperties().getProperty('TOKEN');
  if (!token || request.parameter.token !== token) {
    throw new Error('the token in the URL is not that of the script property TOKEN');
  }
  const event = JSON.parse(request.postData.contents);
  const lock = LockService.getScriptLock();
  lock.waitLock(10000);
  try {
    write(SpreadsheetApp.getActiveSpreadsheet().getSheets()[0], event);
  } finally {
    lock.releaseLock();
  }
  return ContentService.createTextOutput('written');
}

/** Appends an event, unless the sheet has it: an event is delivered at least once. */
function write(sheet, event) {
  const data = event.data;
  if (sheet.getLastRow() === 0) {
    sheet.appendRow(HEADINGS);
  }
  const last = sheet.getLastRow();
  const from = Math.max(2, last - ROWS_COMPARED + 1);
  const known = last < 2 ? [] : sheet.getRange(from, 1, last - from + 1, 2).getValues();
  // After events were lost their numbers are used again: number and time name an event.
  if (known.some((row) => String(row[0]) === String(data.seq) && plain(row[1]) === event.timestamp)) {
    return;
  }
  sheet.appendRow([
    data.seq, "'" + event.timestamp, event.type, text(data.order_id), text(data.code), text(data.buyer), text(data.drop_id),
    text(data.sku), data.quantity === undefined ? '' : data.quantity, data.amount === undefined ? '' : data.amount,
    text(data.currency),
  ]);
}

/** A leading apostrophe makes a cell a text: a buyer's name that begins with `=` is never a formula. */
function text(value) {
  return value === undefined ? '' : "'" + value;
}

function plain(value) {
  return String(value).replace(/^'/, '');
}
