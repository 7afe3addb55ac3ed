#include "engine/types.h"

static const hb_type_info types[HB_TYPE_COUNT] = {
    [HB_TYPE_F32] = {"F32", 1, 4},
    [HB_TYPE_F16] = {"F16", 1, 2},
    [HB_TYPE_BF16] = {"BF16", 1, 2},
    [HB_TYPE_Q8_0] = {"Q8_0", 32, 34},
    [HB_TYPE_Q4_0] = {"Q4_0", 32, 18},
    [HB_TYPE_Q4_K] = {"Q4_K", 256, 144},
    [HB_TYPE_Q6_K] = {"Q6_K", 256, 210},
    /* Named so that an error can say what it met. */
    [3] = {"Q4_1", 32, 0},
    [6] = {"Q5_0", 32, 0},
    [7] = {"Q5_1", 32, 0},
    [9] = {"Q8_1", 32, 0},
    [10] = {"Q2_K", 256, 0},
    [11] = {"Q3_K", 256, 0},
    [13] = {"Q5_K", 256, 0},
    [15] = {"Q8_K", 256, 0},
    [16] = {"IQ2_XXS", 256, 0},
    [17] = {"IQ2_XS", 256, 0},
    [18] = {"IQ3_XXS", 256, 0},
    [19] = {"IQ1_S", 256, 0},
    [20] = {"IQ4_NL", 32, 0},
    [21] = {"IQ3_S", 256, 0},
    [22] = {"IQ2_S", 256, 0},
    [23] = {"IQ4_XS", 256, 0},
    [24] = {"I8", 1, 0},
    [25] = {"I16", 1, 0},
    [26] = {"I32", 1, 0},
    [27] = {"I64", 1, 0},
    [28] = {"F64", 1, 0},
    [29] = {"IQ1_M", 256, 0},
    [34] = {"TQ1_0", 256, 0},
    [35] = {"TQ2_0", 256, 0},
    [39] = {"MXFP4", 32, 0},
};

const hb_type_info *hb_type_get_info(uint32_t type)
{
    static const hb_type_info unknown = {0};
    return type < HB_TYPE_COUNT ? &types[type] : &unknown;
}
