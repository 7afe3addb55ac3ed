/* Parses expressions. Jinja's operators from the weakest to the strongest: if-else, or, and, not,
 * comparisons, + and -, ~, * / // %, **, signs, and then the suffixes of a value: .name [item] (call) |
 * filter, is test. */
#include "chat/builtins.h"
#include "chat/parser.h"
#include "chat/text.h"

static hb_jnode *parse_unary(hb_jparser *p, bool with_filters);

static hb_jnode *two(hb_jparser *p, hb_jnode_kind kind, hb_jnode *a, hb_jnode *b)
{
    hb_jnode *node = hb_jnode_new(p, kind);
    node->line = a->line;
    node->a = a;
    node->b = b;
    return node;
}

/* ---- Values ------------------------------------------------------------------------------------- */

static hb_jnode *constant(hb_jparser *p, hb_jvalue value)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_CONST);
    node->value = value;
    return node;
}

static hb_jnode *parse_name(hb_jparser *p)
{
    static const struct {
        const char *name;
        int value; /* -1: none */
    } known[] = {{"true", 1}, {"True", 1}, {"false", 0}, {"False", 0}, {"none", -1}, {"None", -1}};
    hb_jnode *node = hb_jnode_new(p, HB_N_NAME);
    node->name = hb_jexpect_name(p);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!hb_jtext_is(node->name, known[i].name)) continue;
        node->kind = HB_N_CONST;
        node->value = known[i].value < 0 ? hb_jnone() : hb_jbool(known[i].value);
    }
    return node;
}

/* Adjacent literals are joined. */
static hb_jnode *parse_text(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_CONST);
    const hb_jtext *text = p->token++->value.text;
    for (; p->token->kind == HB_T_TEXT; p->token++) text = hb_jjoin(p->j, text, p->token->value.text);
    node->value = hb_jof_text(text);
    return node;
}

static hb_jnode *parse_list(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_LIST);
    hb_jnodes items = {0};
    hb_jexpect(p, HB_T_OPERATOR, "[");
    while (!hb_jskip(p, HB_T_OPERATOR, "]")) {
        if (items.n > 0) hb_jexpect(p, HB_T_OPERATOR, ",");
        if (hb_jskip(p, HB_T_OPERATOR, "]")) break;
        hb_jnodes_add(&items, hb_jparse_expression(p));
    }
    node->list = items.first;
    return node;
}

static hb_jnode *parse_dict(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_DICT);
    hb_jnodes items = {0};
    hb_jexpect(p, HB_T_OPERATOR, "{");
    while (!hb_jskip(p, HB_T_OPERATOR, "}")) {
        if (items.n > 0) hb_jexpect(p, HB_T_OPERATOR, ",");
        if (hb_jskip(p, HB_T_OPERATOR, "}")) break;
        hb_jnodes_add(&items, hb_jparse_expression(p));
        hb_jexpect(p, HB_T_OPERATOR, ":");
        hb_jnodes_add(&items, hb_jparse_expression(p));
    }
    node->list = items.first;
    return node;
}

static hb_jnode *parse_parentheses(hb_jparser *p)
{
    hb_jexpect(p, HB_T_OPERATOR, "(");
    if (hb_jskip(p, HB_T_OPERATOR, ")")) return hb_jnode_new(p, HB_N_TUPLE);
    hb_jnode *node = hb_jparse_tuple(p, hb_jparse_expression);
    hb_jexpect(p, HB_T_OPERATOR, ")");
    return node;
}

hb_jnode *hb_jparse_primary(hb_jparser *p)
{
    hb_jnode *node = NULL;
    hb_jenter(p->j);
    switch (p->token->kind) {
    case HB_T_NAME:
        node = parse_name(p);
        break;
    case HB_T_TEXT:
        node = parse_text(p);
        break;
    case HB_T_INT:
    case HB_T_REAL:
        node = constant(p, p->token->value);
        p->token++;
        break;
    default:
        if (hb_jat(p, HB_T_OPERATOR, "(")) node = parse_parentheses(p);
        else if (hb_jat(p, HB_T_OPERATOR, "[")) node = parse_list(p);
        else if (hb_jat(p, HB_T_OPERATOR, "{")) node = parse_dict(p);
        else hb_junexpected(p);
    }
    hb_jleave(p->j);
    return node;
}

static bool at_tuple_end(const hb_jparser *p)
{
    return p->token->kind == HB_T_PRINT_END || p->token->kind == HB_T_BLOCK_END ||
           hb_jat(p, HB_T_OPERATOR, ")") || hb_jat(p, HB_T_NAME, "in");
}

hb_jnode *hb_jparse_tuple(hb_jparser *p, hb_jnode *(*parse)(hb_jparser *p))
{
    hb_jnodes items = {0};
    hb_jnode *first = parse(p);
    if (!hb_jat(p, HB_T_OPERATOR, ",")) return first;
    hb_jnode *tuple = hb_jnode_new(p, HB_N_TUPLE);
    hb_jnodes_add(&items, first);
    while (hb_jskip(p, HB_T_OPERATOR, ",") && !at_tuple_end(p)) hb_jnodes_add(&items, parse(p));
    tuple->list = items.first;
    return tuple;
}

/* ---- What follows a value ------------------------------------------------------------------------ */

static hb_jnode *parse_argument(hb_jparser *p)
{
    hb_jnode *node = NULL;
    if (hb_jskip(p, HB_T_OPERATOR, "**")) node = hb_jnode_new(p, HB_N_SPREAD_NAMED);
    else if (hb_jskip(p, HB_T_OPERATOR, "*")) node = hb_jnode_new(p, HB_N_SPREAD);
    if (!node && p->token->kind == HB_T_NAME && p->token[1].kind == HB_T_OPERATOR &&
        hb_jtext_is(p->token[1].value.text, "=")) {
        node = hb_jnode_new(p, HB_N_KEYWORD);
        node->name = hb_jexpect_name(p);
        p->token++;
    }
    if (!node) return hb_jparse_expression(p);
    node->a = hb_jparse_expression(p);
    return node;
}

hb_jnode *hb_jparse_arguments(hb_jparser *p)
{
    hb_jnodes arguments = {0};
    hb_jexpect(p, HB_T_OPERATOR, "(");
    while (!hb_jskip(p, HB_T_OPERATOR, ")")) {
        if (arguments.n > 0) hb_jexpect(p, HB_T_OPERATOR, ",");
        if (hb_jskip(p, HB_T_OPERATOR, ")")) break;
        hb_jnodes_add(&arguments, parse_argument(p));
    }
    return arguments.first;
}

/* A bound of a slice; ABSENT if it is missing. */
static hb_jnode *parse_bound(hb_jparser *p)
{
    bool none = hb_jat(p, HB_T_OPERATOR, ":") || hb_jat(p, HB_T_OPERATOR, "]");
    return none ? constant(p, (hb_jvalue){.kind = HB_J_ABSENT}) : hb_jparse_expression(p);
}

/* [item] or [from:to:step] */
static hb_jnode *parse_item(hb_jparser *p, hb_jnode *of)
{
    hb_jnodes bounds = {0};
    hb_jexpect(p, HB_T_OPERATOR, "[");
    hb_jnode *first = parse_bound(p);
    if (hb_jskip(p, HB_T_OPERATOR, "]")) {
        if (first->kind == HB_N_CONST && first->value.kind == HB_J_ABSENT) hb_junexpected(p);
        return two(p, HB_N_ITEM, of, first);
    }
    hb_jnodes_add(&bounds, first);
    for (int i = 0; i < 2; i++) {
        bool more = hb_jskip(p, HB_T_OPERATOR, ":");
        hb_jnodes_add(&bounds, more ? parse_bound(p) : constant(p, (hb_jvalue){.kind = HB_J_ABSENT}));
    }
    hb_jexpect(p, HB_T_OPERATOR, "]");
    hb_jnode *node = two(p, HB_N_SLICE, of, NULL);
    node->list = bounds.first;
    return node;
}

/* .name, or an index such as .0 */
static hb_jnode *parse_attribute(hb_jparser *p, hb_jnode *of)
{
    hb_jexpect(p, HB_T_OPERATOR, ".");
    if (p->token->kind == HB_T_INT) {
        hb_jnode *index = constant(p, p->token->value);
        p->token++;
        return two(p, HB_N_ITEM, of, index);
    }
    hb_jnode *node = two(p, HB_N_ATTRIBUTE, of, NULL);
    node->name = hb_jexpect_name(p);
    return node;
}

static hb_jnode *parse_call(hb_jparser *p, hb_jnode *of)
{
    hb_jnode *node = two(p, HB_N_CALL, of, NULL);
    node->list = hb_jparse_arguments(p);
    return node;
}

static hb_jnode *parse_postfix(hb_jparser *p, hb_jnode *node)
{
    for (;;) {
        if (hb_jat(p, HB_T_OPERATOR, ".")) node = parse_attribute(p, node);
        else if (hb_jat(p, HB_T_OPERATOR, "[")) node = parse_item(p, node);
        else if (hb_jat(p, HB_T_OPERATOR, "(")) node = parse_call(p, node);
        else return node;
    }
}

hb_jnode *hb_jparse_filters(hb_jparser *p, hb_jnode *of, bool named)
{
    for (; named || hb_jskip(p, HB_T_OPERATOR, "|"); named = false) {
        hb_jnode *node = hb_jnode_new(p, HB_N_FILTER);
        node->a = of;
        node->name = hb_jexpect_name(p);
        node->builtin = hb_jfind_filter(node->name);
        if (hb_jat(p, HB_T_OPERATOR, "(")) node->list = hb_jparse_arguments(p);
        of = node;
    }
    return of;
}

/* Whether an argument of a test without parentheses follows, as in "is divisibleby 3". */
static bool at_bare_argument(const hb_jparser *p)
{
    static const char *const after[] = {"else", "or", "and", "is"};
    for (size_t i = 0; i < sizeof after / sizeof *after; i++)
        if (hb_jat(p, HB_T_NAME, after[i])) return false;
    hb_jtoken_kind kind = p->token->kind;
    return kind == HB_T_NAME || kind == HB_T_TEXT || kind == HB_T_INT || kind == HB_T_REAL ||
           hb_jat(p, HB_T_OPERATOR, "[") || hb_jat(p, HB_T_OPERATOR, "{");
}

static hb_jnode *parse_test(hb_jparser *p, hb_jnode *of)
{
    hb_jexpect(p, HB_T_NAME, "is");
    bool negated = hb_jskip(p, HB_T_NAME, "not");
    hb_jnode *node = two(p, HB_N_TEST, of, NULL);
    node->name = hb_jexpect_name(p);
    node->builtin = hb_jfind_test(node->name);
    if (hb_jat(p, HB_T_OPERATOR, "(")) node->list = hb_jparse_arguments(p);
    else if (at_bare_argument(p)) node->list = parse_postfix(p, hb_jparse_primary(p));
    return negated ? two(p, HB_N_NOT, node, NULL) : node;
}

static hb_jnode *parse_filters_and_tests(hb_jparser *p, hb_jnode *node)
{
    for (;;) {
        if (hb_jat(p, HB_T_OPERATOR, "|")) node = hb_jparse_filters(p, node, false);
        else if (hb_jat(p, HB_T_NAME, "is")) node = parse_test(p, node);
        else if (hb_jat(p, HB_T_OPERATOR, "(")) node = parse_call(p, node);
        else return node;
    }
}

/* ---- Operators ---------------------------------------------------------------------------------- */

static hb_jnode *parse_unary(hb_jparser *p, bool with_filters)
{
    hb_jnode *node;
    hb_jenter(p->j);
    if (hb_jskip(p, HB_T_OPERATOR, "-")) node = two(p, HB_N_NEGATIVE, parse_unary(p, false), NULL);
    else if (hb_jskip(p, HB_T_OPERATOR, "+")) node = two(p, HB_N_POSITIVE, parse_unary(p, false), NULL);
    else node = hb_jparse_primary(p);
    node = parse_postfix(p, node);
    if (with_filters) node = parse_filters_and_tests(p, node);
    hb_jleave(p->j);
    return node;
}

typedef struct spelling {
    const char *spelled;
    hb_jop op;
} spelling;

/* Takes the next token if it is one of n operators. */
static bool take_operator(hb_jparser *p, const spelling *among, size_t n, hb_jop *op)
{
    for (size_t i = 0; i < n; i++) {
        if (!hb_jskip(p, HB_T_OPERATOR, among[i].spelled)) continue;
        *op = among[i].op;
        return true;
    }
    return false;
}

/* Parses a op b op c ... from the left; `parse` parses each operand. */
static hb_jnode *parse_chain(hb_jparser *p, const spelling *among, size_t n,
                             hb_jnode *(*parse)(hb_jparser *p))
{
    hb_jop op;
    hb_jnode *node = parse(p);
    while (take_operator(p, among, n, &op)) {
        node = two(p, HB_N_OPERATE, node, parse(p));
        node->op = op;
    }
    return node;
}

static hb_jnode *parse_filtered(hb_jparser *p)
{
    return parse_unary(p, true);
}

static hb_jnode *parse_power(hb_jparser *p)
{
    static const spelling among[] = {{"**", HB_J_POWER}};
    return parse_chain(p, among, 1, parse_filtered);
}

static hb_jnode *parse_product(hb_jparser *p)
{
    static const spelling among[] = {
        {"*", HB_J_MULTIPLY}, {"/", HB_J_DIVIDE}, {"//", HB_J_FLOOR_DIVIDE}, {"%", HB_J_MODULO}};
    return parse_chain(p, among, 4, parse_power);
}

static hb_jnode *parse_concatenation(hb_jparser *p)
{
    static const spelling among[] = {{"~", HB_J_CONCATENATE}};
    return parse_chain(p, among, 1, parse_product);
}

static hb_jnode *parse_sum(hb_jparser *p)
{
    static const spelling among[] = {{"+", HB_J_ADD}, {"-", HB_J_SUBTRACT}};
    return parse_chain(p, among, 2, parse_concatenation);
}

static bool take_comparison(hb_jparser *p, hb_jop *op)
{
    static const spelling among[] = {{"==", HB_J_EQUAL},  {"!=", HB_J_UNEQUAL},
                                     {"<", HB_J_LESS},    {"<=", HB_J_LESS_EQUAL},
                                     {">", HB_J_GREATER}, {">=", HB_J_GREATER_EQUAL}};
    if (take_operator(p, among, sizeof among / sizeof *among, op)) return true;
    bool negated = hb_jat(p, HB_T_NAME, "not") && p->token[1].kind == HB_T_NAME &&
                   hb_jtext_is(p->token[1].value.text, "in");
    if (negated) p->token++;
    *op = negated ? HB_J_NOT_IN : HB_J_IN;
    return hb_jskip(p, HB_T_NAME, "in");
}

static hb_jnode *parse_comparison(hb_jparser *p)
{
    hb_jop op;
    hb_jnodes operands = {0};
    hb_jnode *first = parse_sum(p);
    while (take_comparison(p, &op)) {
        hb_jnode *operand = hb_jnode_new(p, HB_N_OPERAND);
        operand->op = op;
        operand->a = parse_sum(p);
        hb_jnodes_add(&operands, operand);
    }
    if (operands.n == 0) return first;
    hb_jnode *node = two(p, HB_N_COMPARE, first, NULL);
    node->list = operands.first;
    return node;
}

static hb_jnode *parse_not(hb_jparser *p)
{
    if (!hb_jskip(p, HB_T_NAME, "not")) return parse_comparison(p);
    hb_jenter(p->j);
    hb_jnode *node = two(p, HB_N_NOT, parse_not(p), NULL);
    hb_jleave(p->j);
    return node;
}

static hb_jnode *parse_and(hb_jparser *p)
{
    hb_jnode *node = parse_not(p);
    while (hb_jskip(p, HB_T_NAME, "and")) node = two(p, HB_N_AND, node, parse_not(p));
    return node;
}

hb_jnode *hb_jparse_condition(hb_jparser *p)
{
    hb_jnode *node = parse_and(p);
    while (hb_jskip(p, HB_T_NAME, "or")) node = two(p, HB_N_OR, node, parse_and(p));
    return node;
}

hb_jnode *hb_jparse_expression(hb_jparser *p)
{
    hb_jenter(p->j);
    hb_jnode *node = hb_jparse_condition(p);
    while (hb_jskip(p, HB_T_NAME, "if")) {
        node = two(p, HB_N_CHOICE, node, hb_jparse_condition(p));
        if (hb_jskip(p, HB_T_NAME, "else")) node->c = hb_jparse_expression(p);
    }
    hb_jleave(p->j);
    return node;
}
