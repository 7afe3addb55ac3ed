/* The data sets known by name: rows in the published form, with made-up contents. */
#include "data_check.h"
#include "base/buffer.h"

typedef struct published {
    const char *format, *text, *samples;
} published;

#define QA(question) "<Question: " question "\nAnswer:>"

/* Each is recognised by its fields and gives the same samples when it is named. */
static const published answered[] = {
    {"nq_open", "{\"question\":\"who wrote it\",\"answer\":[\"A Person\",\"Person\"]}",
     "nq_0=-1" QA("who wrote it") "A Person|Person;"},
    {"nq_open", "question,answer\nwho,\"['A Person', \"\"O'Neil\"\"]\"\n",
     "nq_0=-1" QA("who") "A Person|O'Neil;"},
    {"triviaqa",
     "{\"question\":\"Who?\",\"question_id\":\"x_1\",\"answer\":{\"aliases\":[\"B\",\"!?\"],"
     "\"normalized_aliases\":[\"b\"],\"value\":\"A Person\"}}",
     "x_1=-1" QA("Who?") "A Person|B;"},
    {"triviaqa",
     "{\"Data\": [\n {\"Question\":\"Who?\",\"QuestionId\":\"x_1\",\"Answer\":{\"Aliases\":[\"B\"],"
     "\"Value\":\"A\"}},\n {\"Question\":\"What?\",\"QuestionId\":\"x_2\",\"Answer\":{\"Aliases\":[],"
     "\"Value\":\"C\"}}],\"Version\":1.0}",
     "x_1=-1" QA("Who?") "A|B;x_2=-1" QA("What?") "C;"},
    {"popqa",
     "id\tsubj\tprop\tobj\tquestion\tpossible_answers\n7\tA\tcity\tB\tWhere was A born?\t\"[\"\"B\"\", "
     "\"\"B City\"\"]\"\n",
     "7=-1" QA("Where was A born?") "B|B City;"},
    {"popqa",
     "{\"id\":7,\"subj\":\"A\",\"obj\":\"B\",\"question\":\"Where?\",\"possible_answers\":\"[\\\"B\\\"]"
     "\"}",
     "7=-1" QA("Where?") "B;"},
    {"simpleqa",
     "metadata,problem,answer\n\"{'topic': 'Art', 'answer_type': 'Person'}\",Who painted it?,A "
     "Person\n",
     "simpleqa_0=-1" QA("Who painted it?") "A Person;"},
    {"simpleqa",
     "original_index,problem,answer,topic,answer_type,multi_step,requires_reasoning,urls\n"
     "5,How many?,\"120,000 (acceptable range: anything between 118,000 and "
     "122,000)\",Other,Number,False,False,u\n",
     "5=-1" QA("How many?") "120,000;"},
    {"truthfulqa",
     "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
     "Adversarial,Law,Is it?,\"No, it is not\",\"No, it is not; It is not;  "
     "Nope\",Yes,http://example.org\n",
     "truthfulqa_0=-1" QA("Is it?") "No, it is not|No, it is not|It is not|Nope;"},
    {"truthfulqa",
     "{\"question\":\"Is it?\",\"best_answer\":\"No\",\"correct_answers\":[\"No\",\"Not; at all\"],"
     "\"incorrect_answers\":[\"Yes\"]}",
     "truthfulqa_0=-1" QA("Is it?") "No|No|Not|at all;"},
    {"gsm8k", "{\"question\":\"How much?\",\"answer\":\"2+2=<<2+2=4>>4\\n#### 1,004\"}",
     "gsm8k_0=-1" QA("How much?") "1,004;"},
    {"mmlu",
     "{\"question\":\"Which?\",\"subject\":\"s\",\"choices\":[\"one\",\"two\",\"three\",\"four\"],"
     "\"answer\":2}",
     "mmlu_0=-1<Which?\nA. one\nB. two\nC. three\nD. four\nAnswer:>C|three;"},
    {"mmlu", "question,subject,choices,answer\nWhich?,s,\"['one' 'two' 'three' 'four']\",1\n",
     "mmlu_0=-1<Which?\nA. one\nB. two\nC. three\nD. four\nAnswer:>B|two;"},
    {"mmlu", "Which?,one,two,three,four,D\n\"What, then?\",five,six,seven,eight,B\n",
     "mmlu_0=-1<Which?\nA. one\nB. two\nC. three\nD. four\nAnswer:>D|four;"
     "mmlu_1=-1<What, then?\nA. five\nB. six\nC. seven\nD. eight\nAnswer:>B|six;"},
    {"squad",
     "{\"version\":\"1.1\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"K\",\"qas\":[]},"
     "{\"context\":\"L\",\"qas\":[{\"question\":\"a?\",\"id\":\"i\",\"answers\":[{\"text\":\"x\","
     "\"answer_start\":1},"
     "{\"text\":\"y\",\"answer_start\":2}]},{\"question\":\"b?\",\"id\":\"j\",\"answers\":[{\"text\":"
     "\"z\"}]}]}]},"
     "{\"title\":\"u\",\"paragraphs\":[]},{\"title\":\"v\",\"paragraphs\":[{\"context\":\"M\",\"qas\":["
     "{\"question\":\"c?\",\"id\":\"k\",\"answers\":[{\"text\":\"w\"}]}]}]}]}",
     "i=-1<Context: L\n\nQuestion: a?\nAnswer:>x|y;j=-1<Context: L\n\nQuestion: b?\nAnswer:>z;"
     "k=-1<Context: M\n\nQuestion: c?\nAnswer:>w;"},
    {"squad",
     "{\"id\":\"i\",\"title\":\"t\",\"context\":\"L\",\"question\":\"a?\",\"answers\":{\"text\":[\"x\"]"
     ","
     "\"answer_start\":[1]}}",
     "i=-1<Context: L\n\nQuestion: a?\nAnswer:>x;"},
    {"squad_v2",
     "{\"version\":\"v2.0\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"L\",\"qas\":["
     "{\"question\":\"a?\",\"id\":\"i\",\"answers\":[{\"text\":\"x\"}],\"is_impossible\":false},"
     "{\"plausible_answers\":[{\"text\":\"p\"}],\"question\":\"b?\",\"id\":\"j\",\"answers\":[],"
     "\"is_impossible\":true}]}]}]}",
     "i=-1<Context: L\n\nQuestion: a?\nAnswer from the context, or \"unanswerable\" if it does not "
     "tell.\n"
     "Answer:>x;j=-1<Context: L\n\nQuestion: b?\nAnswer from the context, or \"unanswerable\" if it "
     "does not "
     "tell.\nAnswer:>unanswerable;"},
    {"coqa",
     "{\"version\":\"1.0\",\"data\":[{\"source\":\"s\",\"id\":\"d\",\"story\":\"Once.\",\"questions\":["
     "{\"input_text\":\"Who?\",\"turn_id\":1},{\"input_text\":\"Why?\",\"turn_id\":2}],\"answers\":["
     "{\"input_text\":\"Ann\",\"turn_id\":1},{\"input_text\":\"fun\",\"turn_id\":2}],\"additional_"
     "answers\":{"
     "\"0\":[{\"input_text\":\"She\"},{\"input_text\":\"for fun\"}],\"1\":[{\"input_text\":\"Anna\"},"
     "{\"input_text\":\"joy\"}]}}]}",
     "coqa_0=-1<Once.\n\nQ: Who?\nA:>Ann|She|Anna;"
     "coqa_1=-1<Once.\n\nQ: Who?\nA: Ann\nQ: Why?\nA:>fun|for fun|joy;"},
    {"coqa",
     "{\"source\":\"s\",\"story\":\"Once.\",\"questions\":[\"Who?\",\"Why?\"],\"answers\":{\"input_"
     "text\":"
     "[\"Ann\",\"fun\"],\"answer_start\":[0,1],\"answer_end\":[1,2]}}",
     "coqa_0=-1<Once.\n\nQ: Who?\nA:>Ann;coqa_1=-1<Once.\n\nQ: Who?\nA: Ann\nQ: Why?\nA:>fun;"},
    {"qa", "{\"question\":\"Who?\",\"answer\":\"Ann\"}", "qa_row_0=-1" QA("Who?") "Ann;"},
    {"qa", "{\"id\":4,\"question\":\"When?\",\"answers\":[1781.0, 1782, true]}",
     "4=-1" QA("When?") "1781|1782|true;"},
    {"messages_answers",
     "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":["
     "{\"type\":\"text\",\"text\":\"Who\"},{\"type\":\"input_text\",\"text\":\"is it?\"}]}],"
     "\"answers\":[\"Ann\"]}",
     "messages_0=-1<Be brief.\n\nUser: Who\nis it?\n\nAssistant:>Ann;"},
    {"messages_reply",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"},{\"role\":\"assistant\",\"content\":"
     "\"Ann\"}]}",
     "messages_0=-1<Who?>Ann;"},
};

static void check_all(const char *dir, const published *list, size_t n, hb_read_as reading)
{
    for (size_t i = 0; i < n; i++)
        for (int named = 0; named < 2; named++) {
            hb_dataset_options o = data_options();
            o.read_as = reading;
            o.format = named ? list[i].format : NULL;
            const char *path = put_text(dir, "f", list[i].text);
            const char *samples = samples_of(path, &o, list[i].format);
            if (strcmp(samples, list[i].samples) != 0)
                fail_msg("%s: got\n%s\nnot\n%s\n%s", list[i].format, samples, list[i].samples, hooked);
        }
}

static void test_answered(void **state)
{
    check_all(*state, answered, sizeof answered / sizeof *answered, HB_READ_USUAL);
}

/* A first row whose list is empty does not tell what the list's elements are. */
static void test_empty_lists_first(void **state)
{
    const hb_dataset_options o = data_options();
    const char *path = put_text(*state, "f",
                                "{\"question\":\"Who?\",\"answer\":[]}\n"
                                "{\"question\":\"Who?\",\"answer\":[\"Ann\"]}\n");
    assert_string_equal(samples_of(path, &o, "qa"), "qa_row_1=-1" QA("Who?") "Ann;");
    path = put_text(*state, "f",
                    "{\"utterances\":[],\"messages\":[]}\n"
                    "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"}],\"answers\":\"Ann\"}\n");
    assert_string_equal(samples_of(path, &o, "messages_answers"), "messages_1=-1<Who?>Ann;");
}

/* ---- Rows with responses ------------------------------------------------------------------------- */

#define HALUEVAL_QA                                                                                    \
    "{\"knowledge\":\"K\",\"question\":\"Q?\",\"right_answer\":\"R\",\"hallucinated_answer\":\"H\"}"
#define FAITHDIAL                                                                                      \
    "[{\"dialog_idx\":0,\"utterances\":[{\"history\":[\"Hi\",\"Hello\"],\"speaker\":\"Wizard\","       \
    "\"knowledge\":\"K\",\"original_response\":\"H\",\"response\":\"R\",\"BEGIN\":[\"Hallucination\"," \
    "\"Entailment\"],\"VRM\":[\"Question\"]},{\"history\":[\"Hi\"],\"knowledge\":\"L\","               \
    "\"original_response\":null,\"response\":\"S\",\"BEGIN\":[\"Entailment\"]}]}]"
#define FELM                                                                                           \
    "{\"index\":\"0\",\"source\":\"s\",\"prompt\":\"P?\",\"response\":\"It is. It is. Caf\\u00e9 it "  \
    "is.\","                                                                                           \
    "\"segmented_response\":[\"It is.\",\"It is.\",\"Caf\\u00e9 it "                                   \
    "is.\"],\"labels\":[true,false,false]}"

/* Read as judgements. This is the usual reading of HaluEval. */
static const published judged[] = {
    {"halueval_qa", HALUEVAL_QA,
     "qa_0_cor=0<Context: K\n\nQuestion: Q?\n\nProposed answer: R\n\nIs this answer faithful to the "
     "context? "
     "Answer 'Yes' or 'No':>;qa_0_hal=1<Context: K\n\nQuestion: Q?\n\nProposed answer: H\n\nIs this "
     "answer "
     "faithful to the context? Answer 'Yes' or 'No':>;"},
    {"halueval_general",
     "{\"ID\":\"1\",\"user_query\":\"Q\",\"chatgpt_response\":\"A\",\"hallucination\":\"Yes\"}",
     "general_0=1<Question: Q\n\nProposed answer: A\n\nIs this answer truthful? Answer 'Yes' or "
     "'No':>;"},
    {"halueval_qa_samples",
     "{\"knowledge\":\"K\",\"question\":\"Q?\",\"answer\":\"A\",\"hallucination\":\"yes\"}",
     "qa_sample_0=1<Context: K\n\nQuestion: Q?\n\nProposed answer: A\n\nIs this answer faithful to the "
     "context? Answer 'Yes' or 'No':>;"},
    {"halueval_dialogue_samples",
     "{\"knowledge\":\"K\",\"dialogue_history\":\"[Human]: "
     "Hi\",\"response\":\"A\",\"hallucination\":\"no\"}",
     "dialogue_sample_0=0<Context: K\n\nDialogue: [Human]: Hi\n\nProposed response: A\n\nIs this "
     "response "
     "faithful to the context? Answer 'Yes' or 'No':>;"},
    {"halueval_summarization_samples",
     "{\"document\":\"D\",\"summary\":\"S\",\"hallucination\":\"no\"}",
     "summarization_sample_0=0<Document: D\n\nProposed summary: S\n\nIs this summary faithful to the "
     "document? Answer 'Yes' or 'No':>;"},
    {"halubench",
     "{\"id\":\"h1\",\"passage\":\"K\",\"question\":\"Q?\",\"answer\":\"A\",\"label\":\"FAIL\","
     "\"source_ds\":\"d\"}\n"
     "{\"id\":\"h2\",\"passage\":\"K\",\"question\":\"Q?\",\"answer\":[\"B\"],\"label\":\"PASS\","
     "\"source_ds\":\"d\"}",
     "h1=1<Context: K\n\nQuestion: Q?\n\nProposed answer: A\n\nIs this answer faithful to the context? "
     "Answer 'Yes' or 'No':>;h2=0<Context: K\n\nQuestion: Q?\n\nProposed answer: B\n\nIs this answer "
     "faithful to the context? Answer 'Yes' or 'No':>;"},
    {"felm", FELM,
     "felm_0=1<Question: P?\n\nProposed answer: It is. It is. Caf\xC3\xA9 it is.\n\nIs this answer "
     "truthful? "
     "Answer 'Yes' or 'No':>;"},
    {"faithdial", FAITHDIAL,
     "faithdial_0_cor=0<Context: K\n\nDialogue:\nHi\nHello\n\nProposed response: R\n\nIs this response "
     "faithful to the context? Answer 'Yes' or 'No':>;faithdial_0_hal=1<Context: "
     "K\n\nDialogue:\nHi\nHello\n\n"
     "Proposed response: H\n\nIs this response faithful to the context? Answer 'Yes' or 'No':>;"},
    {"messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"Q?\"}],\"label\":1}",
     "messages_0=1<Q?>;"},
    {"messages",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"Q?\"},{\"role\":\"assistant\",\"content\":\"A\"}]"
     ",\"label\":0}",
     "messages_0=0<Q?\n\nProposed answer: A\n\nIs this answer truthful? Answer 'Yes' or 'No':>;"},
    {"given", "{\"prompt\":\"P?\",\"response\":\"A\",\"label\":\"hallucinated\"}",
     "sample_0=1<Question: P?\n\nProposed answer: A\n\nIs this answer truthful? Answer 'Yes' or "
     "'No':>;"},
    {"given_context", "{\"prompt\":\"P?\",\"response\":\"A\",\"context\":\"K\",\"label\":\"faithful\"}",
     "sample_0=0<Context: K\n\nQuestion: P?\n\nProposed answer: A\n\nIs this answer faithful to the "
     "context? "
     "Answer 'Yes' or 'No':>;"},
};

/* The same rows with the responses to evaluate and their hallucinated spans. This is the usual reading
 * of all other data sets with responses. */
static const published given[] = {
    {"halueval_qa", HALUEVAL_QA,
     "qa_0_cor=0<Context: K\n\nQuestion: Q?\nAnswer:>~R;qa_0_hal=1<Context: K\n\nQuestion: "
     "Q?\nAnswer:>~H;"},
    {"halueval_general",
     "{\"user_query\":\"Q\",\"chatgpt_response\":\"One two two.\",\"hallucination\":\"yes\","
     "\"hallucination_spans\":[\"two\",\"none\",\"One\"]}",
     "general_0=1<Q>~One two two.[4,7)[0,3);"},
    {"felm", FELM, "felm_0=1<P?>~It is. It is. Caf\xC3\xA9 it is.[7,13)[14,25);"},
    {"faithdial", FAITHDIAL,
     "faithdial_0_cor=0<Context: K\n\nDialogue:\nHi\nHello\n\nResponse:>~R;"
     "faithdial_0_hal=1<Context: K\n\nDialogue:\nHi\nHello\n\nResponse:>~H;"},
    {"given",
     "{\"prompt\":\"P?\",\"response\":\"\\u00e9\\u00e9\\u00e9\\u00e9\",\"label\":1,\"spans\":[[1,3],{"
     "\"start\":3,"
     "\"end\":99},[2,2],[5,6],[-3,1],[1],\"x\"]}",
     "sample_0=1<P?>~\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9[1,3)[3,4)[0,1);"},
    {"messages",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"Q?\"},{\"role\":\"assistant\",\"content\":\"A\"}]"
     ",\"label\":0}",
     "messages_0=0<Q?>~A;"},
    {"messages", "{\"messages\":[{\"role\":\"user\",\"content\":\"Q?\"}],\"label\":1}",
     "messages_0=1<Q?>;"}, /* there is no response, so the model answers */
    {"given_context", "{\"prompt\":\"P?\",\"response\":\"A\",\"context\":\"K\",\"label\":0}",
     "sample_0=0<P?>~A;"},
    {"given_answers",
     "{\"prompt\":\"P?\",\"response\":\"An A\",\"answers\":[\"A\",\"B\"],\"spans\":[[0,2]]}",
     "sample_0=-1<P?>A|B~An A[0,2);"},
};

static bool is_halueval(const published *p)
{
    return strncmp(p->format, "halueval", 8) == 0;
}

static void test_judged(void **state)
{
    check_all(*state, judged, sizeof judged / sizeof *judged, HB_READ_JUDGEMENT);
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++)
        if (is_halueval(&judged[i])) check_all(*state, &judged[i], 1, HB_READ_USUAL);
}

static void test_given(void **state)
{
    check_all(*state, given, sizeof given / sizeof *given, HB_READ_RESPONSE);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (!is_halueval(&given[i])) check_all(*state, &given[i], 1, HB_READ_USUAL);
}

static hb_read_as read_as(const char *path, const hb_dataset_options *o)
{
    hb_dataset *dataset;
    hb_error err = {0};
    assert_ok(hb_dataset_open(path, o, &dataset, &err));
    hb_read_as as = hb_dataset_get_info(dataset)->read_as;
    hb_dataset_close(dataset);
    return as;
}

/* The dataset says how responses are read. A template that shows the response asks about it. */
static void test_reading(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    char own[256];
    const char *path = put_text(*state, "own", "{\"prompt\":\"P?\",\"response\":\"A\",\"label\":1}");
    snprintf(own, sizeof own, "%s", path);
    assert_int_equal(read_as(own, &o), HB_READ_RESPONSE);
    o.prompt_template = "Is {response} right? {prompt}";
    assert_int_equal(read_as(own, &o), HB_READ_JUDGEMENT);
    assert_string_equal(samples_of(own, &o, "given"), "sample_0=1<Is A right? P?>;");
    o.prompt_template = "Briefly: {prompt}";
    assert_string_equal(samples_of(own, &o, "given"), "sample_0=1<Briefly: P?>~A;");
    o.prompt_template = NULL;
    const char *halueval = put_text(*state, "f", HALUEVAL_QA);
    assert_int_equal(read_as(halueval, &o), HB_READ_JUDGEMENT);
    const char *const both[] = {own, put_text(*state, "g",
                                              "{\"user_query\":\"Q\",\"chatgpt_response\":\"A\","
                                              "\"hallucination\":\"no\"}")};
    assert_fails(hb_dataset_open_files(both, 2, &o, &dataset, &err), HB_ERR_ARGUMENT,
                 "own are evaluated, but those of");
    o.read_as = HB_READ_RESPONSE;
    assert_ok(hb_dataset_open_files(both, 2, &o, &dataset, &err));
    hb_dataset_close(dataset);
    o.read_as = HB_READ_USUAL;
    assert_int_equal(read_as(put_text(*state, "f", "{\"prompt\":\"P\",\"label\":1}"), &o),
                     HB_READ_USUAL);
    o.read_as = HB_READ_JUDGEMENT;
    assert_fails(hb_dataset_open(put_text(*state, "f",
                                          "{\"prompt\":\"P?\",\"response\":\"A\",\"answers\":[\"A\"]}"),
                                 &o, &dataset, &err),
                 HB_ERR_ARGUMENT, "data of format given_answers have no responses to judge");
}

#define ASKED    "{\"role\":\"user\",\"content\":\"Who?\"}"
#define ANSWERED "{\"role\":\"assistant\",\"content\":\"Ann\"}"

/* If no labels are needed, rows without labels are read. */
static void test_unlabelled(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err = {0};
    const char *path = put_text(*state, "f",
                                "{\"prompt\":\"P\",\"response\":\"A\",\"id\":\"x\"}\n"
                                "{\"prompt\":\"Q\",\"response\":\"B\"}\n");
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_FORMAT,
                 "the nearest is given, which needs 'label'");
    o.format = "responses";
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_ARGUMENT,
                 "rows of format responses have no labels");
    o.unlabelled = true;
    assert_string_equal(samples_of(path, &o, "responses"), "x=-2<P>~A;sample_1=-2<Q>~B;");
    o.format = NULL;
    assert_string_equal(samples_of(path, &o, "responses"), "x=-2<P>~A;sample_1=-2<Q>~B;");
    path = put_text(*state, "f", "{\"q\":\"P\",\"a\":\"A\"}\n");
    o.prompt = "q";
    o.response = "a";
    assert_string_equal(samples_of(path, &o, "responses"), "sample_0=-2<P>~A;");
    o.prompt = o.response = NULL;
    path = put_text(*state, "f", "{\"prompt\":\"P\",\"response\":\"A\",\"label\":1}\n");
    assert_string_equal(samples_of(path, &o, "given"), "sample_0=1<P>~A;");
    path = put_text(*state, "f",
                    "{\"prompt\":\"P\",\"response\":\"A\",\"label\":1}\n"
                    "{\"prompt\":\"P\",\"response\":\"B\"}\n"
                    "{\"prompt\":\"P\",\"response\":\"C\",\"label\":null}\n"
                    "{\"prompt\":\"P\",\"response\":\"D\",\"label\":\"maybe\"}\n");
    hooked[0] = '\0';
    assert_string_equal(samples_of(path, &o, "given"),
                        "sample_0=1<P>~A;sample_1=-2<P>~B;sample_2=-2<P>~C;");
    assert_string_equal(hooked, "f:4: label 'maybe' is neither 0 nor 1\n");
    path = put_text(*state, "f", "{\"messages\":[" ASKED "," ANSWERED "]}\n");
    assert_string_equal(samples_of(path, &o, "messages_responses"), "messages_0=-2<Who?>~Ann;");
    o.unlabelled = false;
    assert_string_equal(samples_of(path, &o, "messages_reply"), "messages_0=-1<Who?>Ann;");
}

/* With --as response, a conversation's reply is graded instead of an answer of the model's own. Parts
 * of messages that are no texts are refused. */
static void test_messages(void **state)
{
    static const char *const broken[][2] = {
        {"[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\"}]",
         "(type 'image_url') is no text"},
        {"null", "(type '') is no text"},
        {"[7]", "(type '') is no text"},
        {"[{\"type\":8,\"text\":null}]", "(type '') is no text"}};
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err;
    const char *path =
        put_text(*state, "f", "{\"messages\":[" ASKED "," ANSWERED "],\"answers\":[\"Bob\"]}\n");
    assert_string_equal(samples_of(path, &o, "messages_answers"), "messages_0=-1<Who?>Bob;");
    o.read_as = HB_READ_RESPONSE;
    assert_string_equal(samples_of(path, &o, "messages_answers"), "messages_0=-1<Who?>Bob~Ann;");
    o.read_as = HB_READ_USUAL;
    o.format = "messages";
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"messages\":[{\"role\":\"user\",\"content\":%s}],\"label\":0}\n",
                 broken[i][0]);
        assert_fails(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err), HB_ERR_DATA,
                     broken[i][1]);
    }
    static const char *const no_lists[] = {"[]", "\"a\"", "{}", "7"};
    for (size_t i = 0; i < sizeof no_lists / sizeof *no_lists; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"messages\":%s,\"label\":0}\n", no_lists[i]);
        assert_fails(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err), HB_ERR_DATA,
                     "field 'messages' is no list of messages");
    }
}

/* Spans are known if the row has them. For right responses they are known if another row has any. */
static void test_known_spans(void **state)
{
    static const char *const rows[] = {"{\"prompt\":\"P\",\"response\":\"A\",\"label\":0}\n",
                                       "{\"prompt\":\"P\",\"response\":\"A\",\"label\":1}\n",
                                       "{\"prompt\":\"P\",\"response\":\"A\",\"label\":1,"
                                       "\"spans\":[]}\n",
                                       "{\"prompt\":\"P\",\"response\":\"A\",\"label\":1,"
                                       "\"spans\":[[0,1]]}\n"};
    static const bool known[2][4] = {{false, false, true}, {true, false, true, true}};
    for (int k = 0; k < 2; k++) {
        char text[512] = "";
        hb_dataset_options o = data_options();
        hb_dataset *dataset;
        hb_sample s;
        bool found;
        hb_error err = {0};
        for (int i = 0; i < 3 + k; i++) strcat(text, rows[i]);
        assert_ok(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err));
        for (int i = 0; i < 3 + k; i++) {
            assert_ok(hb_dataset_next(dataset, &s, &found, &err));
            assert_int_equal(s.spans != NULL, known[k][i]);
            assert_int_equal(s.n_spans, i == 3);
        }
        hb_dataset_close(dataset);
    }
}

static const char ragtruth_responses[] = "{\"id\":\"1\",\"source_id\":\"s1\",\"model\":\"m\","
                                         "\"temperature\":0.7,\"labels\":[{\"start\":0,\"end\":3,"
                                         "\"text\":\"abc\",\"label_type\":\"Evident Baseless "
                                         "Info\"}],\"split\":\"train\",\"quality\":\"good\","
                                         "\"response\":\"abcd\"}\n"
                                         "{\"id\":\"2\",\"source_id\":\"s2\",\"labels\":[],\"split\":"
                                         "\"test\",\"quality\":\"good\",\"response\":\"ef\"}\n"
                                         "{\"id\":\"3\",\"source_id\":\"s1\",\"labels\":[],\"split\":"
                                         "\"test\",\"quality\":\"truncated\",\"response\":\"g\"}\n"
                                         "{\"id\":\"4\",\"source_id\":\"s3\",\"labels\":[],\"split\":"
                                         "\"test\",\"quality\":\"good\",\"response\":\"h\"}\n";
static const char ragtruth_sources[] =
    "{\"source_id\":\"s2\",\"task_type\":\"QA\",\"source_info\":{\"question\":\"q\",\"passages\":"
    "\"pp\"},\"prompt\":\"P2\"}\n"
    "{\"source_id\":\"s1\",\"task_type\":\"Summary\",\"source_info\":\"text\",\"prompt\":\"P1\"}\n";

/* RAGTruth's responses and their sources are in two files. */
static void test_ragtruth(void **state)
{
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample s;
    bool found;
    hb_error err = {0};
    char path[256], elsewhere[256];
    snprintf(path, sizeof path, "%s", put_text(*state, "response.jsonl", ragtruth_responses));
    assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_DATA,
                 "data of format ragtruth need the file source_info.jsonl");
    snprintf(elsewhere, sizeof elsewhere, "%s", put_text(*state, "sources", ragtruth_sources));
    o.join = elsewhere;
    o.read_as = HB_READ_RESPONSE;
    static const char expected[] = "1=1<P1>~abcd[0,3);2=0<P2>~ef;";
    hooked[0] = '\0';
    assert_string_equal(samples_of(path, &o, "ragtruth"), expected);
    assert_string_equal(hooked, "response.jsonl:4: field 'prompt' is missing\n");
    put_text(*state, "source_info.jsonl", ragtruth_sources);
    o.join = NULL;
    assert_string_equal(samples_of(path, &o, "ragtruth"), expected);
    o.where = "split=test";
    assert_string_equal(samples_of(path, &o, "ragtruth"), "2=0<P2>~ef;3=0<P1>~g;");
    o.where = NULL;
    assert_ok(hb_dataset_open(path, &o, &dataset, &err));
    static const char *const contexts[] = {"text", "pp"};
    for (int i = 0; i < 2; i++) {
        assert_ok(hb_dataset_next(dataset, &s, &found, &err));
        assert_string_equal(s.context, contexts[i]);
    }
    assert_non_null(strstr(hb_dataset_get_info(dataset)->recipe, "ragtruth as=response join="));
    hb_dataset_close(dataset);
}

/* ---- Conversations ------------------------------------------------------------------------------- */

static void test_conversations(void **state)
{
    static const char text[] =
        "{\"messages\":[{\"role\":\"developer\",\"content\":\"S\"},{\"role\":\"user\",\"content\":"
        "\"Q1\"},"
        "{\"role\":\"assistant\",\"content\":\"A1\"},{\"role\":\"user\",\"content\":\"Q2\"},"
        "{\"role\":\"assistant\",\"content\":\"A2\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Q\"}]}\n"
        "{\"messages\":[{\"role\":\"tool\",\"content\":\"Q\"}]}\n"
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"A\"}]}\n"
        "{\"messages\":[]}\n";
    const hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_sample s;
    bool found;
    hb_error err = {0};
    assert_ok(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err));
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_string_equal(s.prompt, "S\n\nUser: Q1\n\nAssistant: A1\n\nUser: Q2\n\nAssistant:");
    assert_string_equal(s.answers[0], "A2");
    assert_int_equal(s.n_messages, 4);
    static const hb_role roles[] = {HB_ROLE_SYSTEM, HB_ROLE_USER, HB_ROLE_ASSISTANT, HB_ROLE_USER};
    static const char *const texts[] = {"S", "Q1", "A1", "Q2"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(s.messages[i].role, roles[i]);
        assert_int_equal(s.messages[i].length, strlen(texts[i]));
        assert_memory_equal(s.messages[i].text, texts[i], strlen(texts[i]));
    }
    assert_ok(hb_dataset_next(dataset, &s, &found, &err));
    assert_false(found);
    hb_dataset_close(dataset);
    assert_string_equal(hooked,
                        "f:2: the last message is not the assistant's, and there are no answers\n"
                        "f:3: a message's role 'tool' is not system, user or assistant\n"
                        "f:4: the last message before an answer is not the user's\n"
                        "f:5: field 'messages' is no list of messages\n");
    hb_dataset_options shots = data_options();
    shots.shots = 1;
    assert_fails(hb_dataset_open(put_text(*state, "f", text), &shots, &dataset, &err), HB_ERR_ARGUMENT,
                 "examples cannot be shown before conversations");
}

/* ---- Rows that cannot be used -------------------------------------------------------------------- */

static void test_broken(void **state)
{
    static const struct {
        const char *format, *row, *reason;
    } cases[] = {
        {"nq_open", "{\"question\":\"q\",\"answer\":[]}", "field 'answer' has no answer"},
        {"nq_open", "{\"question\":\"q\"}", "field 'answer' is missing"},
        {"nq_open", "{\"answer\":[\"a\"]}", "field 'question' is missing"},
        {"nq_open", "{\"question\":\"q\",\"answer\":[\"!?\"]}", "answer '!?' has no word"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"4\"}", "field 'answer' has no answer"},
        {"mmlu", "{\"question\":\"q\",\"choices\":[\"a1\",\"b1\"],\"answer\":2}",
         "answer '2' is none of the choices"},
        {"mmlu", "{\"question\":\"q\",\"choices\":[\"a1\",\"b1\"],\"answer\":\"x\"}",
         "answer 'x' is none of"},
        {"mmlu", "{\"question\":\"q\",\"choices\":[\"a1\"],\"answer\":0}", "it has 1 choices"},
        {"squad", "{\"context\":\"c\",\"question\":\"q\",\"answers\":{\"text\":[]}}",
         "field 'answers.text' has no"},
        {"felm", "{\"prompt\":\"p\",\"response\":\"r\",\"labels\":[],\"segmented_response\":[]}",
         "field 'labels' is empty"},
        {"halubench", "{\"passage\":\"p\",\"question\":\"q\",\"answer\":\"a\",\"label\":\"MAYBE\"}",
         "label 'MAYBE' is"},
        {"answers", "{\"prompt\":\"p\",\"answers\":{\"x\":1}}", "field 'answers' has no answer"},
        {"given", "{\"prompt\":\"p\",\"response\":\" \\n\",\"label\":1}", "the response is empty"},
        {"faithdial",
         "{\"history\":[\"h\"],\"knowledge\":\"k\",\"response\":\"r\",\"original_response\":\"\","
         "\"BEGIN\":[\"Hallucination\"]}",
         "the response is empty"},
        {"messages",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":"
         "\"\"}],\"label\":1}",
         "the response is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_dataset_options o = data_options();
        hb_dataset *dataset;
        hb_error err;
        o.format = cases[i].format;
        const char *path = put_text(*state, "f", cases[i].row);
        assert_fails(hb_dataset_open(path, &o, &dataset, &err), HB_ERR_DATA, cases[i].reason);
    }
}

/* Lists that would take much time or memory are refused. */
static void test_hostile(void **state)
{
    enum { N = 2000 };
    char *text = malloc(N * 64);
    size_t used = (size_t)sprintf(text, "{\"story\":\"s\",\"questions\":[");
    for (int i = 0; i < N; i++) used += (size_t)sprintf(text + used, "%s\"q\"", i ? "," : "");
    used += (size_t)sprintf(text + used, "],\"answers\":{\"input_text\":[");
    for (int i = 0; i < N; i++) used += (size_t)sprintf(text + used, "%s\"a\"", i ? "," : "");
    sprintf(text + used, "]}}");
    hb_dataset_options o = data_options();
    o.on_broken = NULL;
    hb_dataset *dataset;
    hb_error err = {0};
    assert_ok(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err));
    assert_int_equal(hb_dataset_get_info(dataset)->n_rows, 1025);
    assert_int_equal(hb_dataset_get_info(dataset)->n_broken, N - 1025);
    hb_dataset_close(dataset);

    used = (size_t)sprintf(text, "{\"prompt\":\"p\",\"answers\":[");
    for (int i = 0; i < 5000; i++) used += (size_t)sprintf(text + used, "%s\"a%d\"", i ? "," : "", i);
    sprintf(text + used, "]}");
    assert_fails(hb_dataset_open(put_text(*state, "f", text), &o, &dataset, &err), HB_ERR_DATA,
                 "it has more than 4096 answers");
    free(text);
}

/* The published files, unchanged. */
static void test_shared(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format;
        int rows;
    } files[] = {{"data/nq_open_dev.jsonl", "nq_open", 3610},
                 {"data/truthfulqa.csv", "truthfulqa", 790},
                 {"data/gsm8k_test_300.jsonl", "gsm8k", 300},
                 {"data/halueval_qa_500.jsonl", "halueval_qa", 500},
                 {"data/halueval_general.jsonl", "halueval_general", 4507}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const hb_dataset_options o = data_options();
        hb_dataset *dataset;
        hb_error err = {0};
        assert_ok(hb_dataset_open(shared_file(files[i].name), &o, &dataset, &err));
        const hb_dataset_info *info = hb_dataset_get_info(dataset);
        assert_string_equal(info->format, files[i].format);
        assert_int_equal(info->n_rows + info->n_broken, files[i].rows);
        assert_true(info->n_broken <= (i ? 0 : 2)); /* two of its answers have no word: "---", ")" */
        hb_dataset_close(dataset);
    }
}

/* Millions of short rows to join would fill the memory: each counts as what it takes there. */
static void test_short_rows_to_join(void **state)
{
    enum { ROWS = 1100000 };
    hb_dataset_options o = data_options();
    hb_dataset *dataset;
    hb_error err;
    hb_buffer text = {0};
    char path[256], source[64];
    put_text(*state, "response.jsonl",
             "{\"source_id\":\"1\",\"labels\":[],\"split\":\"test\",\"quality\":\"good\","
             "\"response\":\"r\"}\n");
    for (int i = 0; i < ROWS; i++) {
        snprintf(source, sizeof source, "{\"source_id\":\"%d\",\"prompt\":\"p\"}\n", i);
        assert_true(hb_buffer_add_text(&text, source));
    }
    snprintf(path, sizeof path, "%s", put_text(*state, "many.jsonl", text.data));
    hb_buffer_free(&text);
    o.join = path;
    char data[256];
    snprintf(data, sizeof data, "%s/response.jsonl", (char *)*state);
    assert_fails(hb_dataset_open(data, &o, &dataset, &err), HB_ERR_UNSUPPORTED, "too much to join");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered),      cmocka_unit_test(test_empty_lists_first),
        cmocka_unit_test(test_judged),        cmocka_unit_test(test_given),
        cmocka_unit_test(test_reading),       cmocka_unit_test(test_unlabelled),
        cmocka_unit_test(test_messages),      cmocka_unit_test(test_known_spans),
        cmocka_unit_test(test_ragtruth),      cmocka_unit_test(test_short_rows_to_join),
        cmocka_unit_test(test_conversations), cmocka_unit_test(test_broken),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
