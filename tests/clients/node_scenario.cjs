// node node_scenario.cjs: what a service does with Stripe's Node SDK; the same steps as python_scenario.py.
//
// It is copied into the folder in which the SDK is installed. Reads from stdin where to ask and for what
// (tests/clients/test_clients.py); prints what came of each step as JSON.

const {readFileSync} = require('node:fs');
const Stripe = require('stripe');

const given = JSON.parse(readFileSync(0, 'utf8'));
const came = {};

function client(key) {
  const {protocol, hostname, port} = new URL(given.address);
  const options = {protocol: protocol.slice(0, -1), host: hostname, port, apiVersion: given.version};
  return new Stripe(key, {...options, maxNetworkRetries: 0, telemetry: false});
}

async function step(name, asked) {
  try {
    const found = await asked;
    came[name] = found;
    return found;
  } catch (error) {
    if (!error.type || !error.raw) throw error;
    const {type, code = null, decline_code = null, param = null, message} = error.raw;
    const said = {type: error.rawType ?? type, code, decline_code, param, message};
    came[name] = {class: error.type, status: error.statusCode, ...said};
    return null;
  }
}

async function pages(list) {
  const found = [];
  for await (const one of list) found.push(one);
  return found;
}

async function scenario() {
  const stripe = client(given.key);
  const {ids} = given;
  const {invoices} = stripe;
  const ofCustomer = {customer: ids.customer, limit: 2};
  const listed = await step('list, page by page', pages(invoices.list(ofCustomer)));
  const last = listed[listed.length - 1].id;
  await step('list, backwards', pages(invoices.list({...ofCustomer, ending_before: last})));
  await step('list and expand', pages(invoices.list({...ofCustomer, expand: ['data.customer']})));
  await step('list by a range', pages(invoices.list({created: {gte: 1}, status: 'paid'})));
  await step('retrieve', invoices.retrieve(ids.long));
  await step('retrieve and expand', invoices.retrieve(ids.paid, {expand: ['customer', 'payments']}));
  const lines = invoices.listLineItems ?? invoices.listLines;
  await step('lines, page by page', pages(lines.call(invoices, ids.long, {limit: 5})));
  const charges = await step('charges, page by page', pages(stripe.charges.list({customer: ids.customer, limit: 1})));
  await step('one charge', stripe.charges.retrieve(charges[0].id));
  came['a signed event'] = stripe.webhooks.constructEvent(...given.signed);
  if (stripe.invoicePayments) {
    const found = await step('payments', pages(stripe.invoicePayments.list({invoice: ids.paid})));
    await step('one payment', stripe.invoicePayments.retrieve(found[0].id));
  }

  await step('pay', invoices.pay(ids.pay));
  await step('pay, declined', invoices.pay(ids.decline));
  await step('void', invoices.voidInvoice(ids.void));
  await step('mark uncollectible', invoices.markUncollectible(ids.uncollectible));
  await step('finalize', invoices.finalizeInvoice(ids.draft));
  await step('send', invoices.sendInvoice(ids.draft));
  const options = {idempotencyKey: given.idempotency_key};
  const first = await step('pay with a key', invoices.pay(ids.keyed, {}, options));
  const again = await step('the same key again', invoices.pay(ids.keyed, {}, options));
  came.replayed = [first, again].map((found) => found.lastResponse.headers['idempotent-replayed'] ?? 'None');
  const others = {payment_method: 'pm_card_visa'};
  await step('the same key, other parameters', invoices.pay(ids.keyed, others, options));
  await step('true and false', invoices.finalizeInvoice(ids.flag, {auto_advance: false}));

  await step('an unknown invoice', invoices.retrieve('in_nope'));
  await step('pay an unknown invoice', invoices.pay('in_nope'));
  await step('an unknown parameter', invoices.list({nope: 1}));
  await step('a wrong value', invoices.list({status: 'nope'}));
  await step('void what is paid', invoices.voidInvoice(ids.paid));
  await step('a wrong key', client(given.wrong_key).invoices.list());
  if (given.reading_key) {
    await step('a key that may only read', client(given.reading_key).invoices.pay(ids.decline));
  }
  console.log(JSON.stringify(came));
}

scenario();
